import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigfusion.model.layers.normalise import LIMIT, Normalise, Standardise
from tests.helpers.slow_forms import dialogue


def fitted(*columns: list[float]) -> Standardise:
    standardise = Standardise(len(columns))
    standardise.fit([np.array(columns, dtype=np.float32).T])
    return standardise


def test_hand_computed():
    standardise = fitted([1, 2, 3, 4, 5])
    assert standardise.mean.item() == 3
    assert standardise.deviation.item() == pytest.approx(np.sqrt(2))
    expected = torch.tensor([[-2 / np.sqrt(2)], [0], [1 / np.sqrt(2)]], dtype=torch.float32)
    torch.testing.assert_close(standardise(torch.tensor([[1.0], [3.0], [4.0]])), expected)


def test_every_scale_that_opensmile_has_becomes_unit_scale():
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(500, 3))
    values = (unit * [1e-9, 1, 1e9] + [1e-8, 0, 1e9]).astype(np.float32)
    standardise = Standardise(3)
    standardise.fit([values[:200], values[200:]])
    standard = standardise(torch.from_numpy(values)).double()
    torch.testing.assert_close(standard.mean(0), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std(0, correction=0), torch.ones(3).double(), atol=1e-5, rtol=0)


def test_a_large_offset_does_not_cancel():
    # in float32 the sum of squares of 1e4 + noise would lose the noise altogether
    values = (10_000 + 0.1 * np.random.default_rng(1).normal(size=(2000, 1))).astype(np.float32)
    standardise = Standardise(1)
    standardise.fit([values])
    assert standardise.deviation.item() == pytest.approx(values.astype(np.float64).std(), rel=1e-6)


@pytest.mark.parametrize("column", [[5.0, 5.0, 5.0], [0.1, 0.1, np.float32(0.1)], [1e-42, 0.0, 0.0]])
def test_a_constant_column_is_zero_whatever_comes(column):
    standardise = fitted(column)
    assert standardise(torch.tensor([[5.0], [6.0], [-1e30], [torch.nan], [torch.inf]])).abs().max() == 0


def test_what_is_not_finite_is_left_out_of_the_fit_and_never_passes():
    standardise = fitted([1, np.nan, 3, np.inf], [np.nan, np.nan, np.nan, np.nan])
    assert standardise.mean.tolist() == [2, 0]
    assert standardise.deviation.tolist() == [1, 0]
    values = torch.tensor([[torch.nan, 1], [torch.inf, torch.inf], [-torch.inf, torch.nan], [1000, -3]])
    assert standardise(values).tolist() == [[0, 0], [LIMIT, 0], [-LIMIT, 0], [LIMIT, 0]]


def test_no_rows_at_all():
    standardise = Standardise(2)
    standardise.fit([np.empty((0, 2), np.float32)])
    assert standardise(torch.ones(1, 2)).tolist() == [[0, 0]]


@settings(deadline=None)
@given(
    arrays(np.float32, (7, 3), elements=st.floats(width=32)), arrays(np.float32, (4, 3), elements=st.floats(width=32))
)
def test_output_is_finite_and_bounded_for_any_floats(train, test):
    standardise = Standardise(3)
    with np.errstate(over="ignore", invalid="ignore"):
        standardise.fit([train])
    output = standardise(torch.from_numpy(test))
    assert torch.isfinite(output).all()
    assert output.abs().max() <= LIMIT


def test_only_present_rows_of_the_chosen_modalities_count():
    dialogues = [dialogue(length, widths={"text": 4, "audio": 2}, seed=3) for length in (3, 8)]
    normalise = Normalise({"audio": 2})
    normalise.fit(dialogues)
    present = np.concatenate([one.features["audio"][one.present["audio"]] for one in dialogues])
    (standardise,) = normalise.modalities.values()
    np.testing.assert_allclose(standardise.mean, present.mean(0), rtol=1e-5)
    np.testing.assert_allclose(standardise.deviation, present.std(0), rtol=1e-5)
    assert set(normalise({"text": torch.zeros(1, 1, 4), "audio": torch.zeros(1, 1, 2)})) == {"audio"}


def test_the_fit_travels_in_the_state_dict():
    fitted_here = fitted([1, 2, 4], [5, 5, 5])
    elsewhere = Standardise(2)
    elsewhere.load_state_dict(fitted_here.state_dict())
    values = torch.randn(6, 2)
    assert torch.equal(elsewhere(values), fitted_here(values))
    assert not list(elsewhere.parameters())
