"""The results of an evaluation of predicted numbers, the content of ``metrics.json``. Reading them loads no network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bigfusion.model.runs.files import Record, read_record
from bigfusion.model.runs.folder import METRICS
from bigfusion.model.runs.sizes import SplitSize
from bigfusion.model.scoring.regression_scores import NumberScores
from bigfusion.pipeline.schema import Split


class NumberSeed(NumberScores):
    """One seed's scores on the scored split; ``valid`` are those on validation."""

    seed: int
    epoch: int
    epochs: int
    valid: NumberScores


class ValidScores(Record):
    """Means over seeds on validation; ``weighted_f1`` is the F1 of the sign (has 0), by which runs are promoted."""

    mae: float
    weighted_f1: float
    accuracy: float


class NumberMetrics(NumberScores):
    """``metrics.json`` of a regression: means over seeds, their sample deviation, and what the training mean scores.

    ``weighted_f1`` and ``accuracy`` repeat the F1 and the accuracy of the sign (has 0), for lists of runs.
    """

    format: int = 2
    task: Literal["regression"] = "regression"
    scored: Split
    weighted_f1: float
    accuracy: float
    std: dict[str, float] | None
    mean_of_training: NumberScores
    valid: ValidScores
    seeds: tuple[NumberSeed, ...]
    splits: dict[Split, SplitSize]


def is_regression(folder: Path) -> bool:
    """Whether a folder's scores are those of predicted numbers."""
    path = folder / METRICS
    return path.exists() and b'"task": "regression"' in path.read_bytes()


def read_number_metrics(run: Path) -> NumberMetrics:
    """The scores of a run that predicts numbers.

    Raises:
        TrainingError: the file is missing or is something else.
    """
    return read_record(run / METRICS, NumberMetrics)
