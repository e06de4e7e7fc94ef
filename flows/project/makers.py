"""How the features of a run were made: recorded in the run's folder, so that those of a new recording are the same.

``extractors.json`` holds the project's settings, the extractors' descriptions (settings, digests of weights and code),
the corpus's name, its most frequent words, by which another language is noticed, and how many utterances its shortest
training dialogue has, by which a recording is noticed that has too few.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bigfusion.flows.project import runs
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.files import Record, read_record
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.plan.differences import some
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import Modality, Split
from bigfusion.pipeline.settings import validate
from bigfusion.pipeline.tables.language import Habits, habits

MAKERS = "extractors.json"
_ELSEWHERE = {"corpus", "workspace", "extract", "finetune", "predict", "promote", "runner", "preset"}
"""Settings that are not the features' or the model's."""


class Makers(Record):
    """The content of ``extractors.json``. ``extractors`` are descriptions by modality, as in fingerprints.

    ``shortest`` are the utterances of the training's shortest dialogue; an earlier version did not count them.
    """

    format: int = 1
    corpus: str
    kind: str
    labels: tuple[str, ...]
    settings: dict[str, Any]
    extractors: dict[str, Any]
    words: Habits
    shortest: int = 1


def makers(project: Project, planned: CellPlan) -> Makers:
    """What makes the features of a plan."""
    return Makers(
        corpus="the demo corpus" if project.is_demo else planned.manifest.corpus,
        kind=project.corpus.kind,
        labels=planned.manifest.labels,
        settings={name: table for name, table in project.parameters().items() if name not in _ELSEWHERE},
        extractors={str(name): dict(description) for name, description in planned.extractors.items()},
        words=habits(planned.manifest.table["text"].tolist()),
        shortest=_shortest(planned.manifest.table),
    )


def _shortest(table: pd.DataFrame) -> int:
    """The utterances of the shortest dialogue of split ``train``, or of all dialogues where none is in it (folds)."""
    trained = table[table["split"] == Split.TRAIN]
    return int((table if trained.empty else trained)["dialogue"].value_counts().min())


def record(project: Project, planned: CellPlan, run: Path) -> None:
    """Write ``extractors.json`` into a run's folder, unless it is there."""
    if not (run / MAKERS).exists():
        content = makers(project, planned).model_dump(mode="json")
        write_whole(run / MAKERS, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def recorded(run: Path) -> Makers:
    """How the features of a run were made.

    Raises:
        TrainingError: the folder is no run of a project, or an earlier version trained it.
    """
    if "data" in runs.record(run).get("inputs", {}):
        raise TrainingError(
            f"{run}: was trained on a feature file (--features), so nothing says how to compute its features for a new"
            " recording; train a project on your media (`bigfusion init --help`), and predict with its run"
        )
    if not (run / MAKERS).exists():
        raise TrainingError(
            f"{run / MAKERS}: expected how the run's features were made, found no such file; if the run is the"
            " project's present one, to predict in the project's folder writes it, or else train it again"
        )
    known = read_record(run / MAKERS, Makers)
    if known.kind == "features":
        raise TrainingError(
            f"{run}: was trained on imported features ({known.corpus}), and no extractor computes those for a new"
            " recording; train on features that bigfusion extracts (`bigfusion init my-project --preset table`)"
        )
    return known


def without_frames(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A model's settings with extractors that store no frames: a prediction reads the vectors alone, which are the same
    number for number.
    """
    tables = {modality: _without_level(settings[modality]) for modality in map(str, Modality) if modality in settings}
    return {**settings, **tables}


def _without_level(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_level(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if key != "level"
    }


def project_of(table: Mapping[str, Any], origin: Path) -> Project:
    """The project of a model's settings on another corpus. ``origin`` is where the settings come from.

    Raises:
        TrainingError: this version of bigfusion does not know one of the settings.
    """
    try:
        return validate(Project, table, str(origin))
    except SettingsError as error:
        raise TrainingError(f"{error}; train the run again, or use the version of bigfusion that trained it") from None


def differences(known: Makers, planned: CellPlan) -> tuple[list[str], list[str]]:
    """How the extractors here differ from those of the training: what forbids a prediction, and what only may matter.

    Other settings, weights or extractors make other features, and a feature that is not computed here is absent
    everywhere. Other code or library versions may make equal ones. Of a training's features with frames, the vectors
    alone count: their code is what runs here.
    """
    mentioned: list[str] = []
    forbidden = [f"no {name}" for name in known.extractors if name not in {str(name) for name in planned.extractors}]
    for name, now in planned.extractors.items():
        before = _of_vectors(known.extractors.get(str(name), {}), now)
        differing = [part for part in sorted({*before, *now}) if before.get(part) != _plain(now.get(part))]
        grave = [part for part in differing if part not in ("code", "engine")]
        if grave:
            forbidden.append(f"{name}: other {some(grave)}")
        elif differing:
            mentioned.append(f"{name}: other {some(differing)}")
    return forbidden, mentioned


def _of_vectors(before: Mapping[str, Any], now: Mapping[str, Any]) -> Mapping[str, Any]:
    """A description with frames as the one of its vectors, if that is what there is ``now``.

    What only the plain module holds (a type, a constant of its settings) is not among the code with frames.
    """
    if "level" not in before.get("settings", {}) or "level" in now["settings"]:
        return before
    code = {name: before["code"].get(name, digest) for name, digest in now["code"].items()}
    return {**before, "settings": _without_level(before["settings"]), "code": code}


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
