import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bigfusion.model.layers.shrinkage import NEVER, discriminant


def some(rows: int, columns: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % classes
    values = random.normal(size=(rows, columns)) * np.linspace(0.2, 3, columns) + labels[:, None] * 0.4
    return torch.from_numpy(values), torch.from_numpy(labels)


def test_without_shrinkage_it_is_that_of_scikit_learn():
    columns, labels = some(90, 6)
    weight, bias = discriminant(columns, labels, 3, 1e-6)
    trusted = LinearDiscriminantAnalysis(solver="lsqr").fit(columns.numpy(), labels.numpy())
    found = (columns @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(found, trusted.predict_proba(columns.numpy()), atol=1e-4)


@pytest.mark.parametrize("columns", [4, 40, 300])
def test_the_fast_form_is_the_slow_one(columns: int):
    rows, labels = some(41, columns)
    weight, bias = discriminant(rows, labels, 3, 0.25)
    mean = torch.stack([rows[labels == each].mean(0) for each in range(3)])
    scatter = (rows - mean[labels]).T @ (rows - mean[labels]) / 41
    variance = torch.linalg.eigvalsh(scatter)
    sphere = variance[variance > 1e-9 * variance.amax()].log().mean().exp()
    covariance = 0.75 * scatter + 0.25 * sphere * torch.eye(columns, dtype=torch.double)
    expected = torch.linalg.solve(covariance, mean.T).T
    torch.testing.assert_close(weight, expected)
    counted = (torch.bincount(labels) / 41).log() - (expected * mean).sum(1) / 2
    torch.testing.assert_close(bias, counted)


def test_a_class_without_an_utterance_is_never_said():
    columns, labels = some(30, 5, classes=2)
    weight, bias = discriminant(columns, labels, 3, 0.25)
    assert bias[2] == NEVER and not weight[2].any()
    assert (columns @ weight.T + bias).argmax(1).max() < 2


def test_an_utterance_a_class_leaves_the_nearest_mean():
    columns = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weight, bias = discriminant(columns, torch.arange(3), 3, 0.5)
    assert (columns @ weight.T + bias).argmax(1).tolist() == [0, 1, 2]
