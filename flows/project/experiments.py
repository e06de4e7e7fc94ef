"""A project's runs as a table of experiments: what differs between them, their scores, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from bigfusion.flows.project import promotion, runs
from bigfusion.flows.project.folds import fold_folders
from bigfusion.flows.project.scored_files import is_of_file, read_scored_file
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.files import Record, read_json, read_record, write_json
from bigfusion.model.runs.folder import METRICS, TRAINED, Trained, read_history, seed_folder
from bigfusion.model.settings import TrainSettings, network_settings
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.nearest import did_you_mean
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.settings import Settings, dotted, first_defaults

ABOUT = "about.json"
SCORES = ("valid_weighted_f1", "weighted_f1", "accuracy", "macro_f1")
"""What is better if it is larger."""
_SHORT = 8
"""Characters of a digest that the table shows."""


class About(Record):
    """What a person calls a run, and writes about it."""

    name: str = Field(default="", max_length=60)
    note: str = Field(default="", max_length=2000)

    @field_validator("name")
    @classmethod
    def _in_one_line(cls, name: str) -> str:
        if not name.isprintable() or "/" in name or name != name.strip():
            raise ValueError("expected a name in one line, without / and without spaces around it")
        return name


def about(folder: Path) -> About:
    """The name and the note of a run. Both are empty if nobody gave any."""
    try:
        return About.model_validate(read_json(folder / ABOUT)) if (folder / ABOUT).exists() else About()
    except (TrainingError, ValidationError):  # a damaged note must not hide the run
        return About()


def describe(folder: Path, name: str | None, note: str | None) -> About:
    """Give a run another name or note. ``None`` leaves it as it is, an empty text removes it.

    Raises:
        SettingsError: the name does not fit.
    """
    given = check_description(name, note)
    said = about(folder).model_copy(update=given)
    if given:
        write_json(folder / ABOUT, said.model_dump())
    return said


def check_description(name: str | None, note: str | None) -> dict[str, str]:
    """The given one of a name and a note.

    Raises:
        SettingsError: the name or the note does not fit.
    """
    given = {key: value for key, value in (("name", name), ("note", note)) if value is not None}
    try:
        About.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key, reason = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"--{key} {given[key]!r}: {reason}") from None
    return given


def differing(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Of each run, the values of the settings and inputs that are not equal among these runs, by dotted key.

    Settings of a network that another run does not have are compared among the runs that have them. The digests of
    features, labels and code stand beside the settings; code is compared among runs of the same network.
    """
    tables = [_inputs(runs.record(folder).get("inputs", {})) for folder in folders]
    keys = dict.fromkeys(key for table in tables for key in table)
    different = [key for key in keys if len({repr(table[key]) for table in tables if key in table}) > 1]
    return [{_plain(key): table[key] for key in different if key in table} for table in tables]


def experiments(project: Project) -> list[dict[str, Any]]:
    """Every run of a project, oldest first."""
    known = promotion.models(project)
    return _with_differences([_row(project.files.runs / run["run"], run) for run in known])


def experiments_in(folder: Path) -> list[dict[str, Any]]:
    """Every run that `train --features` made in a folder, oldest first: a row for each file that it scored.

    Raises:
        TrainingError: the folder holds no run.
    """
    rows = []
    for place in sorted(path for path in folder.glob("*") if path.is_dir() and runs.record(path)):
        record = runs.record(place)
        scored = sorted(path.parent for path in place.glob(f"scores/*/{METRICS}"))
        for scores in scored or [place]:
            base = {"run": place.name, "current": False, "created": record.get("created", ""), "why": ""}
            said = {"state": "evaluated" if scored else "trained", "scored": scores.name if scored else ""}
            rows.append(_row(place, base | said, scores))
    if not rows:
        raise TrainingError(
            f"{folder}: expected folders of runs (`train --features FILE --out {folder}/RUN`), found none"
        )
    return _with_differences(sorted(rows, key=lambda row: str(row["created"])))


def _row(folder: Path, base: Mapping[str, Any], scores: Path | None = None) -> dict[str, Any]:
    """A run's row, without what differs."""
    scores = scores or folder
    metrics, seeds = runs.metrics(scores), runs.record(folder).get("seeds", [])
    return {
        **base,
        **about(folder).model_dump(),
        "seeds": len(runs.scored_seeds(scores) or seeds),
        "valid_weighted_f1": (metrics.get("valid") or {}).get("weighted_f1"),
        **{name: metrics.get(name) for name in SCORES[1:]},
        "weighted_f1_std": (metrics.get("std") or {}).get("weighted_f1"),
        "mae": metrics.get("mae"),
        "no_test": "" if metrics.get("weighted_f1") is None else _no_test(scores, metrics),
        **cost(folder, seeds),
        "folder": str(folder),
    }


def _no_test(scores: Path, metrics: Mapping[str, Any]) -> str:
    """Why the scores in a folder are no test, or perhaps none. Empty if they are one."""
    if metrics.get("scored") == Split.VALID:
        return "these are scores on validation, since no test label is there"
    if not is_of_file(scores):
        return ""
    with suppress(TrainingError):  # a damaged record hides no run
        if (file := read_scored_file(scores)) is not None:
            return file.no_test
    return "whether these dialogues were trained or validated on is not known; evaluate again"


def _with_differences(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = differing([Path(row["folder"]) for row in rows])
    return [row | {"differs": differs} for row, differs in zip(rows, found, strict=True)]


def cost(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """The epochs and hours that a run's seeds took, in all folds, by the clock, and the machines that trained them."""
    parts = fold_folders(folder, runs.record(folder).get("folds", ())).values() or [folder]
    histories, machines = [], []
    for place in (seed_folder(part, seed) for part in parts for seed in seeds):
        with suppress(TrainingError):  # a damaged or missing file hides no run
            histories.append(read_history(place))
            machines.append(read_record(place / TRAINED, Trained).machine)
    return {
        "epochs": sum(map(len, histories)),
        "hours": sum(epoch.seconds for history in histories for epoch in history) / 3600,
        "machine": " and ".join(dict.fromkeys(name for name in machines if name)),
    }


def in_order(rows: Sequence[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """The rows sorted by a column or by a setting that differs: scores from the best, all else from the least.

    Rows without a value come last.

    Raises:
        SettingsError: there is no such column.
    """
    known = dict.fromkeys(key for row in rows for key in (*row, *row["differs"]) if not isinstance(row.get(key), dict))
    if by not in known:
        raise SettingsError(f"--sort {by}: expected one of {', '.join(known)}{did_you_mean(by, known)}")
    values = [row.get(by, row["differs"].get(by)) for row in rows]
    there = [at for at, value in enumerate(values) if value not in (None, "")]
    numbers = all(isinstance(values[at], int | float) for at in there)
    there.sort(key=lambda at: values[at] if numbers else str(values[at]), reverse=by in SCORES)
    return [rows[at] for at in [*there, *(at for at in range(len(rows)) if at not in there)]]


def _inputs(inputs: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """A run's inputs as one flat table. The second part of a key names the network that alone has it."""
    if not inputs:
        return {}
    kind = str(inputs.get("model", {}).get("kind", ""))
    found: dict[tuple[str, str], Any] = {(key, ""): value for key, value in dotted(whole_settings(inputs))}
    found |= {(f"{name} cells", ""): _brief(value) for name, value in inputs.get("cells", {}).items()}
    found |= {(name, ""): _brief(inputs[name]) for name in ("labels", "data") if name in inputs}
    return found | {("code", kind): _brief(inputs.get("code", {}))}


def whole_settings(inputs: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The settings ``model`` and ``train`` among a run's inputs, with the defaults that its record leaves out."""
    return {"model": _whole_model(inputs.get("model", {})), "train": _whole_train(inputs.get("train", {}))}


def _plain(key: tuple[str, str]) -> str:
    return key[0]


def _brief(value: Any) -> str:
    return (value if isinstance(value, str) else digest(value))[:_SHORT]


def _whole_model(numbers: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return whole(network_settings(numbers), numbers) if numbers else {}
    except ValidationError:  # settings of another version
        return numbers


def _whole_train(numbers: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return whole(TrainSettings.model_validate(numbers), numbers)
    except ValidationError:
        return numbers


def whole(settings: Settings, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The values behind :meth:`Settings.numbers`, which leaves out what has its first default."""
    plain = settings.model_dump(mode="json")
    table: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value, key = getattr(settings, name), f"{type(settings).__name__}.{name}"
        if name in settings.run_only:
            continue
        if isinstance(value, Settings):
            table[name] = whole(value, numbers.get(name) or {})
        else:
            table[name] = numbers[name] if name in numbers else first_defaults().get(key, plain[name])
    return table
