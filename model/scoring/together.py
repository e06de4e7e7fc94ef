"""The seeds of a run as one: the mean of their probabilities, which is what ``predict`` answers with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.scoring.metrics import scores
from bigfusion.model.scoring.results import Together
from bigfusion.pipeline.schema import Split

Probabilities = NDArray[np.float64]


def mean_probabilities(
    table: pa.Table, split: Split, labels: tuple[str, ...]
) -> tuple[Probabilities, NDArray[np.int64]]:
    """The mean over seeds of a split's probabilities and the true classes, of the utterances with a label.

    ``table`` is the content of ``predictions.parquet``. Shapes: (U, C), (U,).
    """
    rows = table.filter(pc.equal(table["split"], split.value))
    seeds = rows["seed"].unique().to_pylist()
    several = [rows.filter(pc.equal(rows["seed"], seed)) for seed in seeds]
    if not several:
        return np.zeros((0, len(labels))), np.zeros(0, np.int64)
    codes = {label: code for code, label in enumerate(labels)}
    true = np.array([codes.get(label, UNLABELLED) for label in several[0]["true"].to_pylist()], np.int64)
    each = [np.column_stack([part[f"p_{label}"].to_numpy() for label in labels]) for part in several]
    mean = np.mean(np.stack(each).astype(np.float64), axis=0)
    return mean[true != UNLABELLED], true[true != UNLABELLED]


def together(table: pa.Table, split: Split, labels: tuple[str, ...]) -> Together | None:
    """The scores of a split's mean probabilities; ``None`` for a single seed, whose scores they would repeat."""
    if len(table["seed"].unique()) < 2:
        return None
    probabilities, true = mean_probabilities(table, split, labels)
    found = scores(true, probabilities.argmax(1), len(labels))
    return Together(weighted_f1=found.weighted_f1, accuracy=found.accuracy, macro_f1=found.macro_f1)
