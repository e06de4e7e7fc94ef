"""Temperature, threshold and calibration error of the mean over seeds, by hand and against scikit-learn."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE
from bigfusion.model.scoring.trust import COLDEST, scaled, temperature, threshold, trust
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.transcripts.cue import UNANSWERED

LABELS = ("anger", "joy")


def drawn(utterances: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose logits are ``sharpness`` times too large, and labels drawn from the true ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (utterances, 3))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = np.array([random.choice(3, p=row) for row in honest])
    sharp = np.exp(sharpness * logits)
    return sharp / sharp.sum(1, keepdims=True), true


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_overconfidence(sharpness):
    probabilities, true = drawn(5000, sharpness)
    assert temperature(probabilities, true) == pytest.approx(sharpness, rel=0.06)


def test_no_temperature_on_a_fine_grid_is_better():
    probabilities, true = drawn(200, 2.0)
    best = log_loss(true, scaled(probabilities, temperature(probabilities, true)), labels=[0, 1, 2])
    assert all(
        log_loss(true, scaled(probabilities, heat), labels=[0, 1, 2]) > best - 1e-6 for heat in np.linspace(0.3, 8, 60)
    )


def test_scaling_by_hand():
    assert scaled(np.array([[0.8, 0.2]]), 2.0)[0, 0] == pytest.approx(2 / 3)  # sqrt(.8) : sqrt(.2) = 2 : 1
    assert scaled(np.array([[0.8, 0.2]]), 1.0)[0] == pytest.approx([0.8, 0.2])
    assert scaled(np.array([[1.0, 0.0]]), 3.0)[0].sum() == pytest.approx(1)


def test_a_perfect_validation_does_not_drive_the_temperature_to_zero():
    assert temperature(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])) >= COLDEST


def binary(confidences: list[float], right: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    first = np.array(confidences)
    return np.column_stack([first, 1 - first]), np.array([0 if ok else 1 for ok in right])


def test_the_threshold_by_hand():
    # silence below .75 spares three wrong labels and costs one right one; below .575 it would spare one
    probabilities, true = binary([0.55, 0.6, 0.65, 0.7, 0.8, 0.9], [False, True, False, False, True, True])
    assert threshold(probabilities, true) == pytest.approx(0.75)


def test_a_validation_without_low_wrong_labels_has_no_threshold():
    assert threshold(*binary([0.55, 0.6, 0.9], [True, True, False])) == 0.0


def test_equal_probabilities_are_never_told_apart():
    assert threshold(*binary([0.6, 0.6, 0.6, 0.9], [False, False, True, True])) == pytest.approx(0.75)
    assert threshold(*binary([0.6, 0.6, 0.9], [False, True, True])) == 0.0


def test_where_more_is_wrong_than_right_throughout_nothing_is_sure():
    assert threshold(*binary([0.6, 0.7], [False, False])) > 0.7


def store(folder, valid: list[tuple[float, str | None]], test: list[tuple[float, str | None]]) -> None:
    """Predictions of two seeds that lie 0.1 below and above the probability of anger that is given."""
    rows = [
        {"seed": seed, "split": split, "true": label, "p_anger": p + shift, "p_joy": 1 - p - shift}
        for seed, shift in ((0, -0.1), (1, 0.1))
        for split, part in (("valid", valid), ("test", test))
        for p, label in part
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")


def test_a_runs_trust_comes_from_the_mean_over_its_seeds(tmp_path):
    valid = [(0.7, "anger")] * 7 + [(0.7, "joy")] * 3 + [(0.5, None)]
    store(tmp_path, valid, [(0.7, "anger"), (0.7, "anger"), (0.7, "joy"), (0.7, None)])
    found = trust(tmp_path, LABELS)
    assert found.fitted_on == 10
    assert found.temperature == pytest.approx(1, abs=1e-3)  # 0.7 is right seven times in ten
    assert found.threshold == 0
    assert found.calibration_error == pytest.approx(0.7 - 2 / 3, abs=1e-3)
    assert found.measured_on == "test"


def test_the_errors_by_label_are_those_of_the_mean_over_the_seeds(tmp_path):
    """At 0.55 one seed of two is wrong and their mean is right; at 0.45 the mean is wrong."""
    store(tmp_path, [], [(0.55, "anger"), (0.55, "anger"), (0.45, "anger"), (0.45, "anger"), (0.3, None)])
    assert trust(tmp_path, LABELS).errors == {"anger": 0.5}
    store(tmp_path, [], [(0.55, "anger"), (0.55, "joy"), (0.2, "joy")])
    assert trust(tmp_path, LABELS).errors == {"anger": 0, "joy": 0.5}


def test_with_few_validation_labels_nothing_is_fitted(tmp_path):
    store(tmp_path, [(0.6, "joy")] * 9, [])
    found = trust(tmp_path, LABELS)
    assert (found.temperature, found.threshold, found.fitted_on, found.measured_on) == (1, 0, 0, "valid")


def test_a_run_without_predictions_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"expected the run's predictions, found .*; evaluate the run"):
        trust(tmp_path, LABELS)


def test_answers_that_are_none_are_read_back_as_none():
    assert UNANSWERED == (NOT_SURE, NO_SPEECH)
