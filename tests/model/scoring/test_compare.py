"""The paired bootstrap: a case whose distribution is known, its symmetries, and what it refuses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.compare import Comparison, bootstrap, compare, intervals, scores_of, too_few
from bigfusion.model.scoring.metrics import scores
from bigfusion.pipeline.errors import TrainingError

LABELS = np.array(["calm", "glad", "sad"])


def write(folder: Path, true: list[list[int]], predicted: list[list[list[int]]], split: str = "test") -> Path:
    """Predictions of every seed: ``true[d]`` are dialogue d's labels (-1: none), ``predicted[seed][d]`` the guesses."""
    rows = [
        {
            "seed": seed,
            "split": split,
            "dialogue": f"d{d}",
            "utterance": f"d{d}_{turn}",
            "true": None if label < 0 else LABELS[label],
            "predicted": LABELS[guess],
        }
        for seed, several in enumerate(predicted)
        for d, (labels, guesses) in enumerate(zip(true, several, strict=True))
        for turn, (label, guess) in enumerate(zip(labels, guesses, strict=True))
    ]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / PREDICTIONS)
    return folder


def test_a_case_by_hand(tmp_path: Path) -> None:
    """Two dialogues of one turn each: drawn with replacement, the accuracies differ by 1, 1/2 or 0 at 1 : 2 : 1."""
    first = write(tmp_path / "first", [[0], [0]], [[[1], [0]]])
    second = write(tmp_path / "second", [[0], [0]], [[[0], [0]]])
    found = compare(first, second)
    assert (found.accuracy.first, found.accuracy.second, found.accuracy.difference) == (0.5, 1.0, 0.5)
    assert (found.accuracy.low, found.accuracy.high) == (0, 1)
    assert found.accuracy.p == pytest.approx(2 * 0.25, abs=0.03)
    assert (found.dialogues, found.utterances, found.seeds) == (2, 2, (1, 1))
    matrices = [np.zeros((1, 2, 2, 2), np.int64) for _ in range(2)]
    matrices[0][0, [0, 1], 0, [1, 0]] = 1
    matrices[1][0, [0, 1], 0, 0] = 1
    drawn = bootstrap(*matrices, resamples=20_000)[:, 1]
    assert [np.mean(drawn == value) for value in (0, 0.5, 1)] == pytest.approx([0.25, 0.5, 0.25], abs=0.015)


def random_run(random: np.random.Generator, truth: list[np.ndarray], seeds: int) -> list[list[list[int]]]:
    return [[random.integers(0, 3, len(one)).tolist() for one in truth] for _ in range(seeds)]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 3), st.integers(1, 3))
def test_symmetries(
    tmp_path_factory: pytest.TempPathFactory, number: int, dialogues: int, one: int, other: int
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(number)
    truth = [random.integers(-1, 3, random.integers(1, 6)) for _ in range(dialogues)]
    truth[0][0] = truth[1][0] = 0  # a dialogue without a label is not scored, and one alone has no interval
    labels = [part.tolist() for part in truth]
    first = write(folder / "first", labels, random_run(random, truth, one))
    second = write(folder / "second", labels, random_run(random, truth, other))

    there, back = compare(first, second, resamples=400), compare(second, first, resamples=400)
    for name in ("weighted_f1", "accuracy", "macro_f1"):
        forth, reverse = getattr(there, name), getattr(back, name)
        assert forth.difference == pytest.approx(-reverse.difference)
        assert (forth.low, forth.high) == pytest.approx((-reverse.high, -reverse.low))
        assert forth.p == reverse.p
        assert forth.low <= forth.high
    same = compare(first, first, resamples=400).weighted_f1
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)

    table = pd.read_parquet(second / PREDICTIONS).sample(frac=1, random_state=number)
    table.to_parquet(second / PREDICTIONS)
    assert compare(first, second, resamples=400) == there, "the order of the rows does not matter"


def test_scores_of_counts_are_the_metrics() -> None:
    random = np.random.default_rng(3)
    for classes in (2, 3, 6):
        true, predicted = random.integers(0, classes, 50), random.integers(0, classes - 1, 50)
        expected = scores(true, predicted, classes)
        matrix = np.array(expected.confusion)
        assert scores_of(matrix).tolist() == pytest.approx([expected.weighted_f1, expected.accuracy, expected.macro_f1])


def test_the_split_of_each_run_is_told(tmp_path: Path) -> None:
    predicted = [[[1], [0]]]
    test = write(tmp_path / "test", [[0], [1]], predicted)
    valid = write(tmp_path / "valid", [[0], [1]], predicted, "valid")
    assert compare(valid, valid, resamples=10).scored == ("valid", "valid")
    assert compare(test, valid, resamples=10).scored == ("test", "valid")


def test_turns_of_one_dialogue_are_not_independent_evidence(tmp_path: Path) -> None:
    """Ten dialogues of thirty turns that are right or wrong together: far less sure than three hundred turns alone."""

    def spread(lengths: int, number: int, name: str) -> float:
        truth = [[0] * lengths for _ in range(number)]
        wrong = [[[1] * lengths if d % 2 else [0] * lengths for d in range(number)]]
        right = [[[0] * lengths for _ in range(number)]]
        found = compare(write(tmp_path / name / "a", truth, wrong), write(tmp_path / name / "b", truth, right))
        return found.accuracy.high - found.accuracy.low

    assert spread(30, 10, "together") > 4 * spread(1, 300, "alone")


def test_a_clear_difference_is_sure(tmp_path: Path) -> None:
    truth = [[k % 3, (k + 1) % 3] for k in range(40)]
    wrong = [[[(label + 1) % 3 for label in one] for one in truth]]
    found: Comparison = compare(write(tmp_path / "a", truth, wrong), write(tmp_path / "b", truth, [truth]))
    assert found.weighted_f1.low == found.weighted_f1.difference == 1
    assert found.weighted_f1.p < 0.001


def test_a_single_dialogue_has_a_difference_without_interval_and_p(tmp_path: Path) -> None:
    """It cannot be drawn again: every draw is the same dialogue, and each difference would look certain."""
    first = write(tmp_path / "first", [[0, 1, 0, 1]], [[[1, 1, 1, 1]]])
    second = write(tmp_path / "second", [[0, 1, 0, 1]], [[[0, 1, 1, 1]]])
    found = compare(first, second).accuracy
    assert (found.first, found.second, found.difference) == (0.5, 0.75, 0.25)
    assert (found.low, found.high, found.p) == (None, None, None)
    assert "one dialogue cannot be drawn again" in too_few(1)
    assert "9 dialogues are few" in too_few(9)
    assert too_few(10) == ""


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    first = write(tmp_path / "first", [[0], [1]], [[[1], [0]]])
    other = write(tmp_path / "other", [[0], [2]], [[[1], [0]]])
    with pytest.raises(TrainingError, match="expected the same utterances with the same labels"):
        compare(first, other)
    with pytest.raises(TrainingError, match="expected a run's predictions, found none"):
        compare(first, tmp_path / "absent")
    (other / PREDICTIONS).write_bytes(b"no table")
    with pytest.raises(TrainingError, match="expected a table of predictions"):
        compare(first, other)


def test_the_interval_of_one_run_by_hand(tmp_path: Path) -> None:
    """Two dialogues of one turn each, one right: drawn again, the accuracy is 0, 1/2 or 1 at 1 : 2 : 1."""
    folder = write(tmp_path / "run", [[0], [0]], [[[1], [0]]])
    found = intervals(pq.read_table(folder / PREDICTIONS))
    assert found is not None
    assert (found.accuracy.low, found.accuracy.high, found.dialogues) == (0, 1, 2)
    one = write(tmp_path / "one", [[0, 1]], [[[0, 0]]])
    assert intervals(pq.read_table(one / PREDICTIONS)) is None


def test_a_run_of_many_dialogues_has_a_binomial_interval(tmp_path: Path) -> None:
    right = [1] * 60 + [0] * 40
    folder = write(tmp_path / "run", [[0]] * 100, [[[0] if one else [1] for one in right]])
    found = intervals(pq.read_table(folder / PREDICTIONS))
    assert found is not None
    spread = 1.96 * (0.6 * 0.4 / 100) ** 0.5
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((0.6 - spread, 0.6 + spread), abs=0.011)
