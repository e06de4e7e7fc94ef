"""The expected calibration error against a case worked by hand, and what holds for every input."""

import numpy as np
import pytest

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.scoring.calibration import BINS, calibration, pooled


def rows(*confidences: float) -> np.ndarray:
    """Two-class probabilities that all choose class 0."""
    return np.array([[confidence, 1 - confidence] for confidence in confidences], dtype=np.float32)


def test_a_case_by_hand() -> None:
    # five bins: (0.4, 0.6] holds 0.55 (wrong) and 0.59 (right), (0.6, 0.8] 0.75 (right), (0.8, 1] 0.85, 0.95 and 1
    # (right, wrong, right). Gaps: |0.57 - 0.5| 2/6 + |0.75 - 1| 1/6 + |0.9333 - 0.6667| 3/6 = 0.0233 + 0.0417 + 0.1333
    found = calibration(rows(0.55, 0.59, 0.75, 0.85, 0.95, 1.0), np.array([1, 0, 0, 0, 1, 0]), bins=5)
    assert found.ece == pytest.approx(0.19833333)
    assert [one.count for one in found.bins] == [0, 0, 2, 1, 3]
    assert [one.accuracy for one in found.bins] == pytest.approx([0, 0, 0.5, 1, 2 / 3])
    assert [one.confidence for one in found.bins] == pytest.approx([0, 0, 0.57, 0.75, 14 / 15])
    assert [(one.low, one.high) for one in found.bins] == [
        pytest.approx(pair) for pair in [(0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1)]
    ]


def test_certain_and_right_is_calibrated_certain_and_wrong_is_not() -> None:
    assert calibration(rows(1, 1), np.array([0, 0])).ece == 0
    assert calibration(rows(1, 1), np.array([1, 1])).ece == 1


def test_probabilities_that_say_what_happens_have_a_small_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 50_000)
    true = (random.random(50_000) > confidence).astype(int)
    assert calibration(rows(*confidence), true).ece < 0.01
    assert calibration(rows(*np.minimum(confidence + 0.1, 1)), true).ece > 0.08


def test_turns_without_a_label_are_left_out() -> None:
    whole = calibration(rows(0.7, 0.9, 0.8), np.array([0, UNLABELLED, 1]))
    assert whole == calibration(rows(0.7, 0.8), np.array([0, 1]))
    nothing = calibration(rows(0.7), np.array([UNLABELLED]))
    assert (nothing.ece, len(nothing.bins), sum(one.count for one in nothing.bins)) == (0, BINS, 0)


def test_pooled_is_the_calibration_of_all_together() -> None:
    random = np.random.default_rng(1)
    parts = [(rows(*random.uniform(0.5, 1, 40)), random.integers(0, 2, 40)) for _ in range(3)]
    together = calibration(np.concatenate([p for p, _ in parts]), np.concatenate([t for _, t in parts]))
    found = pooled([calibration(*part) for part in parts])
    assert found.ece == pytest.approx(together.ece)
    assert [one.count for one in found.bins] == [one.count for one in together.bins]
    assert [one.accuracy for one in found.bins] == pytest.approx([one.accuracy for one in together.bins])
