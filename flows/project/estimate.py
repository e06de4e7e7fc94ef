"""How long pending work will take, estimated from the recorded times of similar work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bigfusion.flows.project import runs
from bigfusion.flows.project.folds import fold_folders, fold_names
from bigfusion.flows.project.rates import RATES
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.folder import HISTORY, Epoch, read_history
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.plan.plan import CellPlan


def estimate(project: Project, planned: CellPlan, training: bool) -> dict[str, Any]:
    """Seconds by stage: ``extract`` by feature, ``train``; ``None`` if no time was ever recorded.

    The throughput of a feature is that of its extractor's latest chunks in the store. The time of an epoch is the mean
    over the workspace's latest run; a cross-validation trains each seed once a fold. Early stopping may end a training
    sooner. ``first`` holds seconds for features of which nothing was recorded: by the rates of docs/capacity.md, on all
    cores of this machine.
    """
    extract: dict[str, float | None] = {}
    first: dict[str, float] = {}
    with project.files.store() as store:
        for feature, part in planned.parts.items():
            if part.pending:
                each = store.throughput(feature.modality, str(planned.extractors[feature]["name"]))
                extract[str(feature)] = None if each is None else each * len(part.pending)
                if each is None and feature.is_first and project.corpus.kind != "features":
                    first[str(feature)] = (
                        RATES[feature.modality].core_ms / 1000 * len(part.pending) / (os.cpu_count() or 1)
                    )
    train = {"seconds": _training_seconds(project, planned)} if training else {}
    return {"extract": extract, "first": first, "train": train}


def _training_seconds(project: Project, planned: CellPlan) -> float | None:
    each = _epoch_seconds(project)
    if each is None:
        return None
    trainings = len(project.train.seeds) * max(1, len(fold_names(planned.manifest)))
    fitted = runs.planned_model(project, planned.manifest).fitted_at_once
    return each * trainings * (1 if fitted else project.train.epochs)


def _epoch_seconds(project: Project) -> float | None:
    for run in reversed(runs.runs(project)):
        folder = Path(run["folder"])
        parts = fold_folders(folder, run.get("folds", ())).values() or [folder]
        folders = [path.parent for part in parts for path in part.glob(f"*/{HISTORY}")]
        seconds = [epoch.seconds for folder in folders for epoch in _history(folder)]
        if seconds:
            return sum(seconds) / len(seconds)
    return None


def _history(folder: Path) -> list[Epoch]:
    try:
        return read_history(folder)
    except TrainingError:  # an old or damaged history gives no estimate
        return []
