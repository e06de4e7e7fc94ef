"""From what a user types to a trained model: a run's folder or id, a project, or a published model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bigfusion.flows.project import cells, makers, promotion, runs
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.load import DEFAULT_CONFIG
from bigfusion.flows.project.load import load as load_project
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.trained import Model, of_run, own_place
from bigfusion.pipeline.errors import CorpusError, TrainingError

FOLDER = "predict"
"""The workspace of predictions, inside the project's workspace."""
_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def load(where: str | Path, device: str = "auto") -> Model:
    """A trained model: a run's folder, a project's folder or settings file (its current model), or a published model.

    Args:
        where: ``"work/runs/0123456789abcdef"``, ``"my-project"``, a folder of ``bigfusion publish``, or such a folder's
            id on the Hugging Face hub.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        TrainingError: there is no model, it is damaged, or its features cannot be computed for new recordings.
    """
    path = Path(where)
    if path.is_dir() and runs.record(path):
        runs.require_one_model(path)
        return of_run(path, _beside(path), device)
    if (path / DEFAULT_CONFIG).is_file() or path.suffix == ".toml":
        project = load_project(path if path.suffix == ".toml" else path / DEFAULT_CONFIG)
        return current(project, device=device)
    if (path / "config.json").is_file() or (not path.exists() and _HUB.fullmatch(str(where))):
        return _published(str(where), device)
    found = (
        ", ".join(sorted(file.name for file in path.iterdir())[:4]) or "an empty folder" if path.is_dir() else "none"
    )
    raise TrainingError(
        f"{where}: expected a run's folder, a project or a published model, found {found}; `bigfusion models` lists a"
        " project's runs"
    )


def current(project: Project, run: str = "", device: str = "auto") -> Model:
    """A model of a project: the run whose id begins with ``run``, or else the current one.

    Raises:
        TrainingError: there is no such run, or none that was evaluated.
    """
    folder = _run_of(project, run)
    runs.require_one_model(folder)
    if not (folder / makers.MAKERS).exists():
        _record(project, folder)
    return of_run(folder, place(project), device)


def _run_of(project: Project, run: str) -> Path:
    evaluated = [found["run"] for found in runs.summaries(project) if found["state"] == "evaluated"]
    if not run:
        single = [name for name in evaluated if not runs.record(project.files.runs / name).get("folds")]
        run = promotion.read(project).current or next(iter(reversed(single or evaluated)), "")
        if not run:
            raise TrainingError(
                f"{project.files.runs}: expected a trained and evaluated model, found none; train one with `bigfusion"
                " run`"
            )
    matching = [name for name in evaluated if name.startswith(run)]
    if len(matching) != 1:
        found = ", ".join(matching or evaluated) or "none"
        raise TrainingError(f"run {run}: expected one evaluated run, found {found}; `bigfusion models` lists them")
    folder: Path = project.files.runs / matching[0]
    return folder


def _record(project: Project, run: Path) -> None:
    """Record how the features of a run of an earlier version were made, if it is the project's present run."""
    try:
        planned = cells.plan(project, kept(project))
    except CorpusError:  # no manifest: nothing tells what the run was trained on
        return
    if runs.run_of(project, planned.manifest, planned).folder == run:
        makers.record(project, planned, run)


def place(project: Project) -> dict[str, Any]:
    """Where and how a project's model predicts: in a workspace of its own, on the project's store."""
    own = project.workspace.model_dump(mode="json")
    return {
        "workspace": {**own, "path": str(project.work / FOLDER), "store": str(project.store), "url": None},
        "extract": project.extract.model_dump(mode="json"),
        "predict": project.predict.model_dump(mode="json"),
    }


def _beside(run: Path) -> dict[str, Any]:
    """The place of a run of which only the folder is known: in its project's workspace, if the store lies there."""
    work = run.absolute().parents[1]
    if run.absolute().parent.name == "runs" and (work / "store").is_dir():
        return {"workspace": {"path": str(work / FOLDER), "store": str(work / "store")}}
    return own_place()


def _published(where: str, device: str) -> Model:
    from bigfusion.flows.project.publish import load as load_published

    return load_published(where, device)
