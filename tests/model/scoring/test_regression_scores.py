import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score

from bigfusion.model.scoring.regression_scores import number_scores

TRUE = np.array([-3.0, -1.2, 0.0, 0.0, 0.4, 1.6, 2.6, np.nan])
FOUND = np.array([-3.4, 0.1, -0.2, 0.3, 0.6, 1.4, -0.7, 5.0])


def test_scores_by_hand():
    scores = number_scores(TRUE, FOUND)
    assert scores.utterances == 7
    assert scores.mae == pytest.approx((0.4 + 1.3 + 0.2 + 0.3 + 0.2 + 0.2 + 3.3) / 7)
    assert scores.accuracy_has0 == pytest.approx(4 / 7)  # -3, 0 -> 0.3, 0.4 and 1.6
    assert scores.accuracy_non0 == pytest.approx(3 / 5)
    assert scores.accuracy_7 == pytest.approx(3 / 7)  # -3.4 is cut to -3; -0.2 and 0.3 round to 0; 1.6 and 1.4 differ
    assert scores.accuracy_5 == pytest.approx(3 / 7)


def test_scores_are_those_of_scipy_and_scikit_learn():
    random = np.random.default_rng(0)
    true = random.normal(size=200).round(1)
    found = true + random.normal(size=200)
    scores = number_scores(true, found)
    assert scores.correlation == pytest.approx(pearsonr(true, found).statistic)
    assert scores.f1_has0 == pytest.approx(f1_score(true >= 0, found >= 0, average="weighted"))
    some = true != 0
    assert scores.f1_non0 == pytest.approx(f1_score(true[some] > 0, found[some] > 0, average="weighted"))
    assert scores.accuracy_non0 == pytest.approx(accuracy_score(true[some] > 0, found[some] > 0))


def test_concordance_is_one_for_equal_numbers_and_less_for_shifted_ones():
    true = np.array([0.0, 1.0, 2.0])
    assert number_scores(true, true).concordance == pytest.approx(1)
    shifted = number_scores(true, true + 1)
    assert shifted.correlation == pytest.approx(1)
    assert shifted.concordance == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))


def test_a_constant_answer_has_no_correlation():
    scores = number_scores(np.array([-1.0, 1.0]), np.zeros(2))
    assert (scores.correlation, scores.concordance) == (0, 0)
    assert number_scores(np.array([np.nan]), np.zeros(1)).utterances == 0
