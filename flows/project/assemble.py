"""Assemble the arrays that the model reads, from a manifest and the store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bigfusion.flows.project.features import without
from bigfusion.flows.project.settings import Project
from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, hold_out
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import Split

NUMBER = ("value",)
"""In the place of classes, where numbers are predicted."""


def assemble(project: Project, manifest: Manifest, cells: CellPlan) -> Data:
    """The dialogues of every split with their features. A failed cell becomes an absent feature.

    If the corpus has no validation split, the last share (``train.holdout``) of its training dialogues replaces it.

    Raises:
        TrainingError: a feature was computed for no utterance.
        StoreError: a cell is not stored, or a shard is damaged.
    """
    features: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}
    with project.files.store() as store:
        for feature in cells.features:
            values, present = store.read(feature.modality, cells.fingerprints(feature))
            if not present.any():
                raise TrainingError(
                    f"{manifest.corpus}: expected {feature} features, found none in {len(manifest)} utterances"
                    f" (`bigfusion status` counts why); train without it (for good: in the settings file):"
                    f" --set '{without(cells.features, [feature])}'"
                )
            features[feature] = (values, present)
    splits = dialogues(manifest, features)
    train, valid = splits[Split.TRAIN], splits[Split.VALID]
    if not valid:
        train, valid = hold_out(train, project.train.holdout)
    return Data(NUMBER if manifest.has_values else manifest.labels, train, valid, splits[Split.TEST])


def dialogues(
    manifest: Manifest, features: Mapping[str, tuple[NDArray[np.float32], NDArray[np.bool_]]]
) -> dict[Split, list[Dialogue]]:
    """The manifest's dialogues, split by split. ``features`` maps a feature to its rows and their presence.

    Shapes: (N, F_m) and (N,), row for row with the manifest.
    """
    codes = {label: code for code, label in enumerate(manifest.labels)}
    labels: NDArray[np.int64] = np.array([codes.get(label, UNLABELLED) for label in manifest.table["label"]], np.int64)
    values: NDArray[np.float32] | None = None
    if manifest.has_values:
        values = manifest.table["value"].to_numpy(np.float32)
        labels = np.where(np.isnan(values), UNLABELLED, 0).astype(np.int64)
    splits: dict[Split, list[Dialogue]] = {split: [] for split in Split}
    for rows in _blocks(manifest.table["dialogue"]):
        table = manifest.table.iloc[rows]
        dialogue = Dialogue(
            id=str(table["dialogue"].iloc[0]),
            utterances=tuple(table["utterance"]),
            features={name: values[rows] for name, (values, _) in features.items()},
            present={name: present[rows] for name, (_, present) in features.items()},
            speakers=pd.factorize(table["speaker"])[0].astype(np.int64),
            labels=labels[rows],
            values=None if values is None else values[rows],
        )
        splits[Split(table["split"].iloc[0])].append(dialogue)
    return splits


def _blocks(dialogue: pd.Series[str]) -> list[slice]:
    """A slice for each dialogue. The manifest guarantees that the rows of a dialogue are contiguous."""
    codes: NDArray[np.int64] = pd.factorize(dialogue)[0]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(codes)], strict=True)]
