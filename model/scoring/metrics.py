"""Scores of a classification, all from its confusion matrix. The values equal scikit-learn's; 0 / 0 is 0.

Every score is a fraction in [0, 1]. Only code that shows scores to people converts them to points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.runs.files import Record


class ClassScore(Record):
    """Precision, recall and F1 of one class. ``support`` is the number of utterances with this label."""

    f1: float
    precision: float
    recall: float
    support: int


class Scores(Record):
    """The scores of one set of predictions. ``confusion[i][j]`` = utterances of class i predicted as class j."""

    weighted_f1: float
    accuracy: float
    macro_f1: float
    utterances: int
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def scores(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> Scores:
    """Score predictions against labels; utterances without a label are left out.

    Weighted F1 weighs each class by its support. Macro F1 is the mean over the classes that occur among the
    labels or the predictions, as is scikit-learn's default. Without any labelled utterance all scores are 0.

    Shapes: ``true``, ``predicted`` (U,) int.
    """
    matrix = confusion(true, predicted, classes)
    hits, support, chosen = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    precision, recall = _ratio(hits, chosen), _ratio(hits, support)
    f1 = _class_f1(matrix)
    occurs = (support + chosen) > 0
    return Scores(
        weighted_f1=weighted_f1(matrix),
        accuracy=accuracy(matrix),
        macro_f1=float(f1[occurs].mean()) if occurs.any() else 0.0,
        utterances=int(support.sum()),
        classes=tuple(
            ClassScore(f1=float(f1[c]), precision=float(precision[c]), recall=float(recall[c]), support=int(support[c]))
            for c in range(classes)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
    )


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Shape: (C, C), labels by predictions; utterances without a label are left out."""
    labelled = true != UNLABELLED
    cells = true[labelled] * classes + predicted[labelled]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def weighted_f1(matrix: NDArray[np.int64]) -> float:
    """Mean F1 of the classes, weighted by support. It chooses the checkpoint, so training depends on it.

    Shape: ``matrix`` (C, C), a :func:`confusion`.
    """
    support = matrix.sum(1)
    return float(_class_f1(matrix) @ support) / max(int(support.sum()), 1)


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Share of the labelled utterances whose label is predicted. Shape: ``matrix`` (C, C), a :func:`confusion`."""
    return float(np.diag(matrix).sum()) / max(int(matrix.sum()), 1)


def _class_f1(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    return _ratio(2 * np.diag(matrix), matrix.sum(1) + matrix.sum(0))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def emotion_shifts(dialogues: Sequence[Dialogue]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks: turns whose label differs from the speaker's previous label in the dialogue, and turns with the same.

    Turns without a label are skipped. A speaker's first labelled turn is in neither mask. Shapes: two (U,) bool.
    """
    shifted, steady = [], []
    for dialogue in dialogues:
        previous: dict[int, int] = {}
        for speaker, label in zip(dialogue.speakers.tolist(), dialogue.labels.tolist(), strict=True):
            before = previous.get(speaker, UNLABELLED)
            comparable = UNLABELLED not in (label, before)
            shifted.append(comparable and label != before)
            steady.append(comparable and label == before)
            if label != UNLABELLED:
                previous[speaker] = label
    return np.array(shifted, dtype=np.bool_), np.array(steady, dtype=np.bool_)
