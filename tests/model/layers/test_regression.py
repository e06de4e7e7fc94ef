"""The penalised regression on many alike columns: as exact as needed, in a bounded number of steps."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from bigfusion.model.layers import regression
from bigfusion.model.layers.regression import penalised_regression


def alike_columns(rows=150, kinds=300):
    """Each column thrice, a few directions carrying most of the variance, as means over neighbours have it."""
    random = np.random.default_rng(0)
    base = random.normal(size=(rows, 5)) @ random.normal(size=(5, kinds)) * 2 + random.normal(size=(rows, kinds))
    columns = np.concatenate([base, base + 0.1 * random.normal(size=base.shape), base], axis=1)
    labels = (base[:, 0] > 0).astype(int) + (base[:, 1] > 1)
    return torch.from_numpy((columns - columns.mean(0)) / columns.std(0)).float(), torch.from_numpy(labels)


def test_its_probabilities_are_scikit_learns():
    columns, labels = alike_columns()
    trusted = LogisticRegression(C=1 / (2 * 0.6 * len(labels)), tol=1e-10, max_iter=10_000)
    trusted.fit(columns.double(), labels)
    weight, bias = penalised_regression(columns, labels, 3, 0.6)
    found = (columns @ weight.T + bias).softmax(1).double()
    expected = torch.from_numpy(trusted.predict_proba(columns.double()))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)


def test_random_labels_cost_no_more_passes_than_it_says(monkeypatch):
    columns, labels = alike_columns()
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    calls = []
    monkeypatch.setattr(regression, "linear", lambda *given: (calls.append(1), torch.nn.functional.linear(*given))[1])
    for penalty in (0.6, 0.0):  # without a penalty no minimum exists
        calls.clear()
        weight, bias = penalised_regression(columns, labels, 3, penalty)
        assert 0 < len(calls) <= regression.EVALUATIONS + 20  # it ends with the line search that it is in
        assert weight.isfinite().all() and bias.isfinite().all()


def test_it_draws_nothing_from_torchs_own_generator():
    columns, labels = alike_columns()
    state = torch.get_rng_state()
    one, two = (penalised_regression(columns, labels, 3, 0.6) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(one[0], two[0])
