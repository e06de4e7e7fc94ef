"""The folds of a cross-validation: each is a training that tests one fold and learns from the others.

Cells do not depend on folds, so features are computed and read once for all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data, hold_out
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan


def fold_names(manifest: Manifest) -> tuple[str, ...]:
    """The names of a manifest's folds, numbers first. Empty if it has none."""
    names = set(manifest.table["fold"].unique()) - {""}
    return tuple(sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def fold_folders(run: Path, names: Sequence[str]) -> dict[str, Path]:
    """The folder of each fold in a run's folder, named after the fold if its name can be a folder's."""
    plain = [re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII) for name in names]
    if len({name.casefold() for name in plain}) < len(names):  # two would share a folder
        plain = [f"number-{place}" for place in range(1, len(names) + 1)]
    return {name: run / f"fold-{safe}" for name, safe in zip(names, plain, strict=True)}


def fold_data(project: Project, manifest: Manifest, planned: CellPlan) -> dict[str, Data]:
    """The data of every fold.

    Raises:
        TrainingError: a modality has no feature at all, or a fold leaves fewer than two dialogues to train on.
        StoreError: a cell is not stored, or a shard is damaged.
    """
    whole = assemble(project, manifest, planned)
    fold = dict(zip(manifest.table["dialogue"], manifest.table["fold"], strict=True))
    dialogues = [*whole]
    return {
        name: leave_out(name, dialogues, fold, whole.labels, project.train.holdout) for name in fold_names(manifest)
    }


def leave_out(
    name: str, dialogues: Sequence[Dialogue], fold: Mapping[str, str], labels: tuple[str, ...], share: float
) -> Data:
    """Test the fold ``name`` and train on the others, of whose dialogues a ``share`` is the validation split.

    The dialogues with the largest hashes of their ids validate: the last ones of the corpus would all be one speaker's.

    Raises:
        TrainingError: fewer than two dialogues lie in other folds.
    """
    others = [dialogue for dialogue in dialogues if fold[dialogue.id] != name]
    _, held = hold_out(sorted(others, key=lambda dialogue: hashlib.sha256(dialogue.id.encode()).digest()), share)
    validation = {dialogue.id for dialogue in held}
    return Data(
        labels,
        [dialogue for dialogue in others if dialogue.id not in validation],
        [dialogue for dialogue in others if dialogue.id in validation],
        [dialogue for dialogue in dialogues if fold[dialogue.id] == name],
    )
