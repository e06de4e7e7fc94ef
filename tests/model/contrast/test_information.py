import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from bigfusion.model.contrast.information import gaussian_information, histogram_information


def test_gaussian_is_the_closed_form_of_the_correlation():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 5, 200))
    second += first * np.arange(5)[:, None]
    expected = [-0.5 * np.log(1 - np.corrcoef(a, b)[0, 1] ** 2) for a, b in zip(first, second, strict=True)]
    found = gaussian_information(torch.from_numpy(first), torch.from_numpy(second))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("tilt", [1e-2, 1e-4, 1e-6])
def test_gaussian_does_not_cancel_near_one(tilt):
    """Two orthonormal, centred directions: v = u + tilt w has 1 - rho^2 = tilt^2 / (1 + tilt^2) exactly."""
    u = torch.tensor([1.0, -1, 1, -1], dtype=torch.float64)
    w = torch.tensor([1.0, 1, -1, -1], dtype=torch.float64)
    expected = -0.5 * np.log(tilt**2 / (1 + tilt**2))
    found = gaussian_information(u.unsqueeze(0), (3 * (u + tilt * w) + 7).unsqueeze(0))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_gaussian_is_bounded_where_nothing_was_lost():
    embedding = torch.randn(1, 50, dtype=torch.float64)
    found = gaussian_information(embedding, embedding).item()
    assert found == pytest.approx(-0.5 * np.log(np.finfo(np.float64).eps), abs=0.5)


@pytest.mark.parametrize("estimate", [gaussian_information, lambda *pair: histogram_information(*pair, bins=4)])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7e8])
def test_what_does_not_vary_tells_nothing(estimate, value):
    constant, varying = torch.full((1, 128), value).double(), torch.randn(1, 128).double()
    assert estimate(constant, varying).item() == pytest.approx(0, abs=1e-12)
    assert estimate(varying, constant).item() == pytest.approx(0, abs=1e-12)
    assert estimate(constant, constant).item() == pytest.approx(0, abs=1e-12)


def test_histogram_is_the_plug_in_estimate():
    rng = np.random.default_rng(1)
    first = rng.normal(size=(6, 300))
    second = first + rng.normal(size=(6, 300))
    expected = []
    for pair in zip(first, second, strict=True):
        edges = [np.linspace(values.min(), values.max(), 9)[1:-1] for values in pair]
        expected.append(mutual_info_score(*(np.digitize(*binned) for binned in zip(pair, edges, strict=True))))
    found = histogram_information(torch.from_numpy(first), torch.from_numpy(second), bins=8)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
