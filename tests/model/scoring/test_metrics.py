"""Scores against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.scoring.metrics import emotion_shifts, scores

CLASSES = 4
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60)


@given(pairs)
def test_every_score_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    found = scores(true, predicted, CLASSES)

    everything = range(CLASSES)
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=everything, zero_division=0
    )
    assert found.weighted_f1 == pytest.approx(f1_score(true, predicted, average="weighted", zero_division=0))
    assert found.macro_f1 == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    assert found.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert [part.f1 for part in found.classes] == pytest.approx(f1)
    assert [part.precision for part in found.classes] == pytest.approx(precision)
    assert [part.recall for part in found.classes] == pytest.approx(recall)
    assert [part.support for part in found.classes] == support.tolist()
    assert np.array_equal(found.confusion, confusion_matrix(true, predicted, labels=everything))
    assert found.utterances == len(pairs)


@given(pairs, st.lists(st.integers(0, CLASSES - 1), max_size=10))
def test_utterances_without_a_label_change_nothing(pairs: list[tuple[int, int]], more: list[int]) -> None:
    true, predicted = np.array(pairs).T
    unlabelled = np.full(len(more), UNLABELLED)
    with_more = scores(np.append(true, unlabelled), np.append(predicted, np.array(more, dtype=int)), CLASSES)
    assert with_more == scores(true, predicted, CLASSES)


def test_by_hand() -> None:
    found = scores(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 0]), 3)
    # class 0: 2 of 3 right, 2 of 3 chosen; class 1: 1 of 2 right, 1 of 2 chosen; class 2 does not occur
    assert [part.f1 for part in found.classes] == pytest.approx([2 / 3, 1 / 2, 0])
    assert found.weighted_f1 == pytest.approx((3 * 2 / 3 + 2 * 1 / 2) / 5)
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.accuracy == pytest.approx(3 / 5)


def test_nothing_labelled_scores_zero() -> None:
    found = scores(np.array([UNLABELLED, UNLABELLED]), np.array([0, 1]), 2)
    assert (found.weighted_f1, found.accuracy, found.macro_f1, found.utterances) == (0, 0, 0, 0)


def turns(speakers: list[int], labels: list[int]) -> Dialogue:
    names = tuple(str(turn) for turn in range(len(labels)))
    return Dialogue("d", names, {}, {}, np.array(speakers), np.array(labels))


def test_emotion_shifts_by_hand() -> None:
    first = turns([0, 1, 0, 1, 0, 0], [2, 0, 2, 1, UNLABELLED, 0])
    second = turns([0, 0], [1, 1])  # speaker 0 of another dialogue is another person
    shifted, steady = emotion_shifts([first, second])
    #                           0      1      0      1     none    0  |  0      0
    assert shifted.tolist() == [False, False, False, True, False, True, False, False]
    assert steady.tolist() == [False, False, True, False, False, False, False, True]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=1, max_size=30))
def test_emotion_shifts_against_the_definition(line: list[tuple[int, int]]) -> None:
    shifted, steady = emotion_shifts([turns([speaker for speaker, _ in line], [label for _, label in line])])
    for turn, (speaker, label) in enumerate(line):
        own = [other for who, other in line[:turn] if who == speaker and other != UNLABELLED]
        comparable = bool(own) and label != UNLABELLED
        assert shifted[turn] == (comparable and own[-1] != label)
        assert steady[turn] == (comparable and own[-1] == label)
