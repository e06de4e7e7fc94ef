"""Calibration: whether predictions with a probability of 0.7 are right seven times in ten."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.runs.files import Record

BINS = 15


class Bin(Record):
    """Predictions whose probability lies in (``low``, ``high``]: how many, their mean probability, the share right.

    Mean probability and share are 0 if the bin is empty.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


class Calibration(Record):
    """``ece`` is the mean, over predictions, of |confidence - accuracy| of their bin. It is 0 without predictions."""

    ece: float
    bins: tuple[Bin, ...]


def calibration(probabilities: NDArray[np.float32], true: NDArray[np.int64], bins: int = BINS) -> Calibration:
    """Expected calibration error (Guo et al., 2017) with ``bins`` equal bins of the predicted class's probability.

    Utterances without a label are left out. Shapes: ``probabilities`` (U, C), ``true`` (U,) int.
    """
    labelled = true != UNLABELLED
    confidence = probabilities[labelled].max(1).astype(np.float64)  # (U,)
    right = probabilities[labelled].argmax(1) == true[labelled]
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    return _of([(int(n), float(c), float(r)) for n, c, r in zip(count, *sums, strict=True)])


def pooled(several: Sequence[Calibration]) -> Calibration:
    """The calibration of the predictions of ``several`` (seeds), taken together."""
    return _of(
        [
            (
                sum(one.count for one in same),
                sum(one.count * one.confidence for one in same),
                sum(one.count * one.accuracy for one in same),
            )
            for same in zip(*(one.bins for one in several), strict=True)
        ]
    )


def _of(sums: Sequence[tuple[int, float, float]]) -> Calibration:
    """A calibration from the count, the sum of probabilities and the number of right predictions of each bin."""
    total = max(sum(count for count, _, _ in sums), 1)
    width = 1 / len(sums)
    return Calibration(
        ece=sum(abs(confidence - right) for _, confidence, right in sums) / total,
        bins=tuple(
            Bin(
                low=index * width,
                high=(index + 1) * width,
                count=count,
                confidence=confidence / max(count, 1),
                accuracy=right / max(count, 1),
            )
            for index, (count, confidence, right) in enumerate(sums)
        ),
    )
