"""Scores of predicted numbers, as the field of multimodal sentiment computes them (MMSA's ``metricsTop``).

- MAE, Pearson's correlation, Lin's concordance; a correlation of constants is 0.
- Acc-2 and F1 of the sign in two variants: ``has0`` compares "not negative" over all utterances, ``non0`` compares
  "positive" over those whose true number is not 0. F1 is weighted by support.
- Acc-7 and Acc-5: the share of equal numbers after both were cut to [-3, 3] or [-2, 2] and rounded to whole numbers
  (halves to even, as NumPy rounds).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigfusion.model.runs.files import Record
from bigfusion.model.scoring.metrics import accuracy, confusion, weighted_f1


class NumberScores(Record):
    """The scores of one set of predicted numbers. All but ``mae`` and the correlations are fractions."""

    mae: float
    correlation: float
    concordance: float
    accuracy_has0: float
    f1_has0: float
    accuracy_non0: float
    f1_non0: float
    accuracy_5: float
    accuracy_7: float
    utterances: int


NAMES = tuple(name for name in NumberScores.model_fields if name != "utterances")
TITLES = {
    "mae": "MAE",
    "correlation": "correlation",
    "concordance": "concordance",
    "accuracy_has0": "Acc-2, has 0",
    "f1_has0": "F1, has 0",
    "accuracy_non0": "Acc-2, non-0",
    "f1_non0": "F1, non-0",
    "accuracy_5": "Acc-5",
    "accuracy_7": "Acc-7",
}
POINTS = frozenset(name for name in NAMES if name.startswith(("accuracy", "f1")))
"""The scores that are shown in points."""


def number_scores(true: NDArray[Any], predicted: NDArray[Any]) -> NumberScores:
    """Score predicted numbers; utterances whose true number is NaN are left out. Shapes: (U,), (U,)."""
    true, predicted = _labelled(true, predicted)
    if not len(true):
        return NumberScores(**dict.fromkeys(NAMES, 0.0), utterances=0)
    has0 = _sign(true >= 0, predicted >= 0)
    some = true != 0
    non0 = _sign(true[some] > 0, predicted[some] > 0)
    return NumberScores(
        mae=_mae(true, predicted),
        correlation=_correlation(true, predicted),
        concordance=_concordance(true, predicted),
        accuracy_has0=has0[0],
        f1_has0=has0[1],
        accuracy_non0=non0[0],
        f1_non0=non0[1],
        accuracy_5=_rounded(true, predicted, 2),
        accuracy_7=_rounded(true, predicted, 3),
        utterances=len(true),
    )


class EpochScores(NamedTuple):
    """What the training loop follows; the scores that it does not follow change without making a run stale."""

    mae: float
    accuracy_has0: float
    f1_has0: float


def epoch_scores(true: NDArray[Any], predicted: NDArray[Any]) -> EpochScores:
    """Three of :func:`number_scores`, with the same values. Shapes: (U,), (U,)."""
    true, predicted = _labelled(true, predicted)
    return EpochScores(_mae(true, predicted), *_sign(true >= 0, predicted >= 0))


def _labelled(true: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    there = ~np.isnan(true)
    return true[there].astype(np.float64), predicted[there].astype(np.float64)


def _mae(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    return float(np.abs(true - predicted).mean()) if len(true) else 0.0


def _sign(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[float, float]:
    """Accuracy and weighted F1 of two classes; 0 without any utterance."""
    matrix = confusion(true.astype(np.int64), predicted.astype(np.int64), 2)
    return accuracy(matrix), weighted_f1(matrix)


def _rounded(true: NDArray[np.float64], predicted: NDArray[np.float64], limit: int) -> float:
    first, second = (np.round(np.clip(values, -limit, limit)) for values in (true, predicted))
    return float((first == second).mean())


def _correlation(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    deviations = true.std() * predicted.std()
    if deviations == 0:
        return 0.0
    return float(((true - true.mean()) * (predicted - predicted.mean())).mean() / deviations)


def _concordance(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """2 cov / (var + var + (mean - mean)^2), all over N."""
    whole = true.var() + predicted.var() + (true.mean() - predicted.mean()) ** 2
    return float(2 * ((true - true.mean()) * (predicted - predicted.mean())).mean() / whole) if whole else 0.0
