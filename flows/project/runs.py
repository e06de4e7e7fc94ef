"""Runs of a project: what a training depends on, and whether the run of the present inputs is up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from bigfusion.flows.project.folds import fold_folders, fold_names
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.folder import METRICS, PREDICTIONS, REPORT, is_finished, seed_folder
from bigfusion.model.scoring.number_results import is_regression
from bigfusion.model.settings import ModelSettings, TrainSettings
from bigfusion.model.training.code import NO_NUMBER, training_entries
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.code import code_digests, entry
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.rows import content_digest
from bigfusion.pipeline.plan.differences import some
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.store.needs import write_reach
from bigfusion.pipeline.store.store import Store
from bigfusion.pipeline.words import numbered

FORMAT = 1
"""The number in ``run.json``. It stands for all files of the run's folder."""
_RUN, _EVALUATED = "run.json", "evaluated.json"
ABLATIONS = "table-4.json"
"""What ``bigfusion reproduce --table 4`` writes."""
_CELLS = "bigfusion.flows.project.cells"
CELLS = "cells.parquet"
"""The fingerprints of the cells that a run was trained on. ``gc`` keeps these cells."""


@dataclass(frozen=True)
class Stage:
    """A stage after the cells: whether it has to run, and the reason."""

    name: str
    pending: bool
    why: str


@dataclass(frozen=True)
class Run:
    """A training and evaluation with exactly the present cells, labels, settings and code.

    ``seeds`` are the seeds that the project wants. More seeds can be added to a run later, and the old ones stay.
    ``folds`` names the folds of a cross-validation: each is trained with every seed, in a folder of its own.
    """

    folder: Path
    inputs: dict[str, Any]
    seeds: tuple[int, ...]
    folds: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The run's name: the beginning of its inputs' digest."""
        return self.folder.name

    @property
    def trained(self) -> bool:
        """Whether every seed is trained."""
        return not self.untrained

    @property
    def untrained(self) -> list[int]:
        """The seeds that are still to be trained."""
        folders = self.parts.values()
        return [seed for seed in self.seeds if not all(is_finished(seed_folder(one, seed)) for one in folders)]

    @property
    def parts(self) -> dict[str, Path]:
        """The folders that hold the seeds, by fold. Without folds it is the run's own, by ``""``."""
        return fold_folders(self.folder, self.folds) if self.folds else {"": self.folder}

    @property
    def evaluated(self) -> bool:
        """Whether the present code scored exactly these seeds, and the resulting files still exist."""
        return not self.why_evaluate

    @property
    def why_evaluate(self) -> str:
        """Why the run must still be scored, or its report written again. Empty if neither is needed."""
        there = (self.folder / PREDICTIONS).exists() and self.report.exists()
        known, now = _read(self.folder / _EVALUATED), self._evaluation()
        if not there or sorted(self.scored) != sorted(self.seeds) or known.get("code") != now["code"]:
            return "not scored by the present code yet"
        return "" if known == now else "scored, but its report does not show the ablations as they are now"

    def _evaluation(self) -> dict[str, str | None]:
        """What the scores and the report depend on, besides the trained run."""
        made = self.ablations
        return {
            "code": _evaluation_code(is_regression(self.folder)),
            "ablations": None if made is None else digest(made.read_text()),
        }

    @property
    def ablations(self) -> Path | None:
        """Table 4 that ``bigfusion reproduce`` made for this run, or else for its workspace."""
        made = [folder / "reproduction" / ABLATIONS for folder in (self.folder, self.folder.parents[1])]
        return next((path for path in made if path.exists()), None)

    @property
    def scored(self) -> list[int]:
        """The seeds that the run's scores cover. Empty before the evaluation."""
        return scored_seeds(self.folder)

    @property
    def report(self) -> Path:
        """The path of the run's report. The file exists after the evaluation."""
        return self.folder / REPORT

    def metrics(self) -> dict[str, Any]:
        """The run's scores. Empty before the evaluation."""
        return metrics(self.folder)

    def begin(self, planned: CellPlan) -> None:
        """Make the folder, and record there what the run depends on and which seeds are wanted.

        What was scored before counts as not scored, for a network that is trained again may predict otherwise.
        """
        self.forget_evaluation()
        if not (self.folder / _RUN).exists():
            write_reach(self.folder / CELLS, reached(planned))
        self._record()

    def _record(self) -> None:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        known = record(self.folder) or {
            "format": FORMAT,
            "run": self.id,
            "created": created,
            "inputs": self.inputs,
            **self._folds(),
        }
        if known.get("seeds") != list(self.seeds):
            _write(self.folder / _RUN, known | {"seeds": list(self.seeds)})

    def _folds(self) -> dict[str, list[str]]:
        return {"folds": list(self.folds)} if self.folds else {}

    def forget_evaluation(self) -> None:
        """Count as not scored from here on, so that a kill between two files of the evaluation leaves no mark."""
        (self.folder / _EVALUATED).unlink(missing_ok=True)

    def mark_evaluated(self) -> None:
        """Record that the run's seeds were scored, and by which code."""
        self._record()
        _write(self.folder / _EVALUATED, self._evaluation())


def run_of(project: Project, manifest: Manifest, planned: CellPlan) -> Run:
    """The run of the present inputs. Its folder may not exist yet, nor ever if the network cannot learn the classes."""
    folds = fold_names(manifest)
    model = planned_model(project, manifest)
    inputs = {
        "cells": {str(feature): part.digest for feature, part in planned.parts.items()},
        "labels": content_digest(manifest.arrow, manifest.labels, _LABEL_COLUMNS),
        "model": model.numbers(),
        "train": project.train.numbers(),
        "code": training_code(model, project.train) | (code_digests(_FOLDS, stop=_DIGESTED) if folds else {}),
    }
    return Run(project.files.runs / digest(inputs)[:16], inputs, project.train.seeds, folds)


def planned_model(project: Project, manifest: Manifest) -> ModelSettings:
    """:func:`trained_model`, or the project's settings if the network cannot learn the corpus's classes."""
    try:
        return trained_model(project, manifest)
    except TrainingError:  # the preflight of a training says so; features can be extracted all the same
        return project.model


def trained_model(project: Project, manifest: Manifest) -> ModelSettings:
    """The settings of the network that a training of this corpus really trains.

    Raises:
        TrainingError: the network cannot learn the corpus's classes.
    """
    single = not manifest.has_values and manifest.table["dialogue"].is_unique
    fitted = project.model.for_single_utterances() if single else project.model
    fitted = fitted.for_classes(manifest.labels)
    if "speakers" not in fitted.left_to_corpus:
        return fitted
    counts = manifest.table.groupby("dialogue", sort=False)["speaker"].nunique()
    return fitted.for_speakers(int(max(counts, default=0)))


def training_code(model: ModelSettings, train: TrainSettings) -> dict[str, str]:
    """Digests of the code that trains a project's run: the loop, the network, and how its data are put together."""
    return code_digests(*training_entries(model, train), *_ASSEMBLY, stop=(*_DIGESTED, *NO_NUMBER))


_ASSEMBLY = (
    "bigfusion.flows.project.assemble:assemble",
    *(f"{entry(Store)}.{method}" for method in ("read", "_read", "_places", "shard")),
)
"""The code that turns stored cells into arrays. The rest of the store changes no number, since each shard is verified
by its name.
"""
_DIGESTED = tuple(map(entry, (Project, Manifest, CellPlan)))
"""Parameters of the training whose content is among a run's inputs already: settings, labels, cells."""

_FOLDS = "bigfusion.flows.project.folds:leave_out"
_LABEL_COLUMNS = ("utterance", "split", "dialogue", "turn", "speaker", "label", "fold", "value")


def reached(planned: CellPlan) -> Iterator[str]:
    """The fingerprints of every cell of a plan."""
    return chain.from_iterable(planned.fingerprints(feature) for feature in planned.features)


def stages(project: Project, run: Run, planned: CellPlan) -> list[Stage]:
    """The stages after the cells: which have to run, and why.

    Raises:
        FormatError: a newer version of bigfusion wrote the run's folder.
    """
    record(run.folder)
    if planned.pending_count:
        why = f"{numbered(planned.pending_count, 'cell')} pending"
        return [Stage("train", True, why), Stage("evaluate", True, why)]
    if not run.trained:
        why = _why_train(project, run)
        return [Stage("train", True, why), Stage("evaluate", True, "a model has to be trained first")]
    same = f"run {run.id}: cells, labels, settings, seeds and code are unchanged"
    if run.evaluated:
        return [
            Stage("train", False, same),
            Stage("evaluate", False, f"run {run.id}: scored, model and code unchanged"),
        ]
    return [Stage("train", False, same), Stage("evaluate", True, f"run {run.id}: {run.why_evaluate}")]


def named(project: Project, name: str) -> Run:
    """A run of the workspace by its id, with the seeds that the project wants of it."""
    folder = project.files.runs / name
    known = record(folder)
    return Run(folder, known.get("inputs", {}), project.train.seeds, tuple(known.get("folds", ())))


def record(folder: Path) -> dict[str, Any]:
    """What a run depends on, from ``run.json`` in its folder. Empty if there is no run.

    Raises:
        FormatError: a newer version of bigfusion wrote it.
    """
    found = _read(folder / _RUN)
    check_format(folder / _RUN, found.get("format"), FORMAT)
    return found


def require_one_model(folder: Path) -> None:
    """Refuse a cross-validation: each of its folds has a model, and none learned from all of them.

    Raises:
        TrainingError: the run in ``folder`` is one.
    """
    if folds := record(folder).get("folds"):
        raise TrainingError(
            f"run {folder.name}: expected a run with a single model, found a cross-validation of {len(folds)} folds;"
            " name another run, or train one without corpus.folds"
        )


def metrics(folder: Path) -> dict[str, Any]:
    """The scores in a run's folder. Empty if there are none."""
    return _read(folder / METRICS)


def scored_seeds(folder: Path) -> list[int]:
    """The seeds that the scores in a run's folder cover. Empty if there are none."""
    return [seed["seed"] for seed in metrics(folder).get("seeds", [])]


def runs(project: Project) -> list[dict[str, Any]]:
    """Every run of the workspace, oldest first: its ``run.json`` with ``folder`` added."""
    found = [record(path.parent) | {"folder": str(path.parent)} for path in project.files.runs.glob(f"*/{_RUN}")]
    return sorted(found, key=lambda run: str(run.get("created", "")))


def summaries(project: Project) -> list[dict[str, Any]]:
    """A summary of every run of the workspace, oldest first. A run whose ``run.json`` cannot be read is ``damaged``."""
    found = []
    for known in runs(project):
        seeds, folds = tuple(known.get("seeds", ())), tuple(known.get("folds", ()))
        run = Run(Path(known["folder"]), known.get("inputs", {}), seeds, folds)
        state = "evaluated" if run.metrics() else "trained" if run.trained else "unfinished"
        found.append(
            {
                "run": run.id,
                "created": known.get("created", ""),
                "state": state if "inputs" in known else "damaged",
                "weighted_f1": run.metrics().get("weighted_f1"),
                "folder": known["folder"],
            }
        )
    return found


def _why_train(project: Project, run: Run) -> str:
    if (run.folder / _RUN).exists():
        added = [str(seed) for seed in run.untrained if seed not in record(run.folder).get("seeds", [])]
        if added:
            return f"run {run.id}: new seeds: {', '.join(added)}"
        return f"run {run.id} was interrupted and goes on"
    before = [other for other in runs(project) if "inputs" in other]
    if not before:
        return "no run yet"
    return f"changed since run {before[-1]['run']}: {'; '.join(differences(before[-1]['inputs'], run.inputs))}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """How the inputs of two runs differ, part by part: the keys, and short values of settings."""
    parts = []
    for part in sorted(new, key=_PARTS.index):
        if old.get(part) != new[part]:
            names = some(_changed(old.get(part), new[part], part in ("model", "train")))
            parts.append(
                {"labels": "labels or dialogues", "code": f"code of {names}"}.get(part, f"{part} {names}".strip())
            )
    return parts


_PARTS = ("cells", "data", "labels", "model", "train", "code")


def _changed(old: Any, new: Any, are_settings: bool, prefix: str = "") -> list[str]:
    """The dotted keys that differ, for settings with their values if these are short.

    A missing setting has its default.
    """
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return []
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) or isinstance(after, Mapping):
            found += _changed(before or {}, after or {}, are_settings, f"{prefix}{key}.")
        elif before != after:
            values = ["default" if value is None and are_settings else str(value) for value in (before, after)]
            short = are_settings and all(len(value) < 20 for value in values)  # of code and data they are digests
            found.append(f"{prefix}{key}" + (f" {' -> '.join(values)}" if short else ""))
    return found


def _evaluation_code(numbers: bool) -> str:
    """Digest of the code that scores a run of classes, or of numbers, and writes its report.

    The network's code is among the run's inputs.
    """
    scoring = "regression:evaluate_numbers" if numbers else "evaluate:evaluate"
    return digest(
        code_digests(
            f"bigfusion.model.scoring.{scoring}",
            "bigfusion.flows.project.reporting:write",
            "bigfusion.flows.project.reporting:write_folds",
            "bigfusion.model.scoring.folds:pool",
            stop=(*_DIGESTED, entry(Run), f"{_CELLS}:notes", f"{_CELLS}:versions"),
        )
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a missing or damaged file counts as empty
        return {}
    return value if isinstance(value, dict) else {}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())
