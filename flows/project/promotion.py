"""The current model: an atomic pointer. A new run becomes the current model unless its validation score is worse.

``current.json`` in the workspace names the current run and holds every decision ever taken, oldest first. A run that
was held back, or withdrawn by a rollback, stays so until a person decides otherwise. A promoted run may be replaced by
another and later match the inputs again. Then it is judged again, against the run that replaced it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from bigfusion.flows.project import cells, runs
from bigfusion.flows.project.features import features
from bigfusion.flows.project.known_dialogues import read_known, trained_on, unchanged
from bigfusion.flows.project.runs import Run, Stage
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.fingerprints import BY_UTTERANCE
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

FORMAT = 1
_SAME = ("model", "train", "code")  # parts of a run's inputs; if all of them agree, only the corpus has changed


class Decision(Settings):
    """A decision on a run, with its time and reason. Scores are mean validation WF1 (fractions)."""

    run: str
    decision: Literal["promoted", "held", "withdrawn", "restored"]
    at: str
    why: str
    valid_weighted_f1: float | None = None
    features: str = Field(default="", description="digest of the extractors that the run's features came from")


class Register(Settings):
    """The pointer and the decisions behind it."""

    format: int = Field(default=FORMAT, ge=1)
    current: str | None = None
    decisions: tuple[Decision, ...] = ()

    def of(self, run: str) -> Decision | None:
        """The latest decision on a run."""
        return next((decision for decision in reversed(self.decisions) if decision.run == run), None)

    def settled(self, run: str) -> Decision | None:
        """The decision on a run, if it still holds: held back, withdrawn, or promoted and still current."""
        latest = self.of(run)
        if latest is not None and latest.decision in ("promoted", "restored") and run != self.current:
            return None
        return latest


def read(project: Project) -> Register:
    """The workspace's register. It is empty before the first decision.

    Raises:
        TrainingError: the file is not a register.
        FormatError: a newer version of bigfusion wrote it.
    """
    path = project.files.current
    try:
        content = path.read_bytes()
        check_format(path, _format(content), FORMAT)
        return Register.model_validate_json(content)
    except FileNotFoundError:
        return Register()
    except ValidationError as error:
        raise TrainingError(
            f"{path}: expected the register of promoted models, found {reason(error.errors()[0]['msg'])};"
            " restore it from a back-up, or delete it and the next run begins a new one"
        ) from None


def _format(content: bytes) -> object:
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found.get("format") if isinstance(found, dict) else None


def stage(project: Project, run: Run, trial: str = "") -> Stage:
    """The stage ``promote``: whether a run still needs a decision.

    A ``trial`` needs none, nor does a cross-validation, which has no single model.
    """
    if run.folds:
        return Stage("promote", False, f"run {run.id}: a cross-validation, of which no model becomes the current one")
    register = read(project)
    if (holds := register.settled(run.id)) is not None:
        return Stage("promote", False, f"run {run.id}: {holds.decision}, {holds.why}")
    if trial:
        return Stage("promote", False, said_of_trial(run, trial))
    latest = register.of(run.id)
    if latest is None:
        return Stage("promote", True, f"run {run.id}: not decided on yet")
    return Stage(
        "promote", True,
        f"run {run.id}: {latest.decision}, but run {register.current} is the current one: to be judged again",
    )  # fmt: skip


def said_of_trial(run: Run, trial: str) -> str:
    """Why a trial's run is not promoted, and how a person promotes it."""
    return (
        f"run {run.id} is a trial ({trial}): never promoted by itself; make it the current model with "
        f"`bigfusion rollback {run.id}`, or write its settings into the file"
    )


def settle(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> Decision:
    """Decide on an evaluated run: it becomes the current one unless validation falls by more than the margin.

    A decision that still holds is kept.

    If only the corpus has changed since the current run, the current run is scored again on the present validation
    split, unless it was trained on a dialogue of it. So both runs are compared on the same dialogues. Otherwise their
    recorded validation scores are compared, and the reason says if these are of other dialogues.

    Raises:
        TrainingError: the run is not evaluated.
    """
    register = read(project)
    if (holds := register.settled(run.id)) is not None:
        return holds
    if not run.evaluated:
        raise TrainingError(f"run {run.id}: expected an evaluated run, found one that is not; run `bigfusion run`")
    score, features = _score(run.folder), _features(project)
    held, why = _judge(project, manifest, planned, run, register)
    decision = Decision(
        run=run.id, decision="held" if held else "promoted", at=_now(), why=why,
        valid_weighted_f1=score, features=features,
    )  # fmt: skip
    _write(project, register, decision, current=register.current if held else run.id)
    log.log(logging.WARNING if held else logging.INFO, "promote: run %s %s: %s", run.id, decision.decision, why)
    return decision


def rollback(project: Project, target: str | None = None) -> Decision:
    """Make an earlier model the current one: ``target``, or the previous one. The model that was current is withdrawn.

    Raises:
        TrainingError: there is no previous one, or ``target`` is not an evaluated run of this workspace, or it is a
            cross-validation.
    """
    register = read(project)
    evaluated = {found["run"] for found in runs.summaries(project) if found["state"] == "evaluated"}
    if target is None:
        target = next(iter(_earlier(register, evaluated)), None)
        if target is None:
            raise TrainingError(
                f"{project.files.current}: expected an earlier promoted model to go back to, found none;"
                " `bigfusion models` lists the runs, and `bigfusion rollback` takes the id of any that is evaluated"
            )
    if target not in evaluated or target == register.current:
        found = "the current one" if target == register.current else "none"
        raise TrainingError(
            f"run {target}: expected another evaluated run, found {found}; `bigfusion models` lists them"
        )
    runs.require_one_model(project.files.runs / target)
    before = register.of(target)
    if register.current is not None:
        gone = Decision(
            run=register.current, decision="withdrawn", at=_now(), why=f"rolled back to {target}",
            **_kept(register.of(register.current)),
        )  # fmt: skip
        register = _with(register, gone)
    why = "rolled back to by hand" if register.current else "chosen by hand"
    decision = Decision(run=target, decision="restored", at=_now(), why=why, **_kept(before))
    _write(project, register, decision, current=target)
    return decision


def models(project: Project) -> list[dict[str, Any]]:
    """Every run with its validation and test WF1 and the decision on it, oldest first."""
    register = read(project)
    found = []
    for summary in runs.summaries(project):
        decided = register.of(summary["run"])
        metrics = runs.metrics(project.files.runs / summary["run"])
        found.append(
            {
                "run": summary["run"],
                "current": summary["run"] == register.current,
                "created": summary["created"],
                "state": decided.decision if decided else summary["state"],
                "valid_weighted_f1": (metrics.get("valid") or {}).get("weighted_f1"),
                "weighted_f1": metrics.get("weighted_f1"),
                "why": decided.why if decided else "",
            }
        )
    return found


@dataclass(frozen=True)
class _Rival:
    """The current run's validation WF1, and on which dialogues it was measured."""

    score: float
    on: str


def _judge(project: Project, manifest: Manifest, planned: CellPlan, run: Run, register: Register) -> tuple[bool, str]:
    """Whether to hold a run back, and the reason."""
    if register.current is None:
        return False, "the first model"
    score, current = _score(run.folder), register.current
    if not runs.record(project.files.runs / current):
        return False, f"run {current} is no longer there to compare with"
    rival = _rival(project, manifest, planned, run, current, register.of(current))
    if rival is None:
        return True, f"run {current} has no validation score to compare with"
    if score is None:
        return True, f"no validation score to compare with {100 * rival.score:.2f} of {current}"
    margin = project.promote.margin
    compared = (
        f"validation WF1 {100 * score:.2f} against {100 * rival.score:.2f} of {current}{rival.on},"
        f" margin {100 * margin:g}"
    )
    return score < rival.score - margin, compared


def _rival(
    project: Project, manifest: Manifest, planned: CellPlan, run: Run, current: str, decision: Decision | None
) -> _Rival | None:
    folder = project.files.runs / current
    record = runs.record(folder)
    recorded, inputs = _score(folder), record["inputs"]
    seeds = runs.scored_seeds(folder) or list(record.get("seeds", []))
    grown = (
        all(inputs[part] == run.inputs[part] for part in _SAME)
        and decision is not None
        and decision.features == _features(project)
    )
    on = _recorded_on(folder, run.folder)
    if grown:
        from bigfusion.flows.project.assemble import assemble  # these two import torch
        from bigfusion.model.scoring.rescore import validation_score

        try:
            known, data = read_known(folder), assemble(project, manifest, planned)
            seen = None if known is None else trained_on(known, data)
            if known is not None and not seen and (not _from_file(project) or unchanged(known, data)):
                anew = validation_score(folder, data, seeds, project.train.device)
                return _Rival(anew, " on the same validation dialogues")
            if seen:
                on += f": it was trained on {seen} of the present {len(data.valid)}"
        except TrainingError as error:  # other labels, or missing files: fall back to the recorded score
            log.warning("promote: run %s could not be scored anew: %s", current, error)
    return None if recorded is None else _Rival(recorded, on)


def _recorded_on(current: Path, run: Path) -> str:
    """What a recorded score was measured on, if not on the utterances and labels that another run was validated on."""
    before, now = _validated(current), _validated(run)
    if before is None or now is None:
        return ", recorded on validation dialogues that are not known"
    return "" if before.equals(now) else ", recorded on other validation dialogues or labels"


def _validated(run: Path) -> pd.DataFrame | None:
    """The validation utterances and labels that a run was scored on. ``None`` if its predictions cannot be read."""
    columns = ["dialogue", "utterance", "true"]
    try:
        table = pd.read_parquet(run / PREDICTIONS, columns=columns, filters=[("split", "==", Split.VALID.value)])
    except (OSError, ValueError):
        return None
    return table.drop_duplicates().sort_values(columns[:2], ignore_index=True)


def _earlier(register: Register, evaluated: set[str]) -> list[str]:
    """Runs that were once current and have not been withdrawn since, latest first."""
    found: list[str] = []
    for decision in reversed(register.decisions):
        run = decision.run
        if decision.decision in ("promoted", "restored") and run != register.current and run not in found:
            latest = register.of(run)
            if run in evaluated and latest is not None and latest.decision != "withdrawn":
                found.append(run)
    return found


def _score(folder: Path) -> float | None:
    valid = runs.metrics(folder).get("valid") or {}
    score = valid.get("weighted_f1")
    return None if score is None else float(score)


def _features(project: Project) -> str:
    """Digest of the extractors. The content of a feature file is the corpus, not the extractor."""
    return digest(
        {
            name: {part: value for part, value in maker.items() if part != "weights" or not _by_utterance(maker)}
            for name, maker in _makers(project).items()
        }
    )


def _from_file(project: Project) -> bool:
    """Whether features are read from a file. Then nothing but the vectors tells what computed them."""
    return any(map(_by_utterance, _makers(project).values()))


def _makers(project: Project) -> dict[str, dict[str, Any]]:
    return {str(feature): cells.description(cells.extractor(project, feature)) for feature in features(project)}


def _by_utterance(maker: Mapping[str, Any]) -> bool:
    return maker.get("reads") == BY_UTTERANCE


def _kept(decision: Decision | None) -> dict[str, Any]:
    """The facts about a run that do not change with a new decision."""
    return {} if decision is None else decision.model_dump(include={"valid_weighted_f1", "features"})


def _with(register: Register, decision: Decision) -> Register:
    return register.model_copy(update={"decisions": (*register.decisions, decision)})


def _write(project: Project, register: Register, decision: Decision, current: str | None) -> None:
    """Write pointer and history together, in one atomic rename."""
    new = _with(register, decision).model_copy(update={"current": current})
    write_whole(project.files.current, (new.model_dump_json(indent=2) + "\n").encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
