import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.model.layers import attention as attention_module
from bigfusion.model.layers.attention import DualAttention, global_attention, local_attention
from bigfusion.model.layers.spiking import RateCoding


def heads(lengths, *, padded=0, dim=4, dtype=torch.float64):
    mask = torch.arange(max(lengths) + padded) < torch.tensor(lengths).unsqueeze(1)
    query, key, value = torch.randn(3, len(lengths), 2, mask.shape[1], dim, dtype=dtype).unbind()
    return query, key, value, mask


def attend(query, key, value):
    """softmax(Q K^T / sqrt(d_k)) V, of (n, d_k) each."""
    return (query @ key.T / math.sqrt(query.shape[1])).softmax(1) @ value


def slow_local(query, key, value, mask, fusion):
    """Eq. 5 window by window."""
    window, output = len(fusion), torch.zeros_like(value)
    for row in range(len(mask)):
        length = int(mask[row].sum())
        for head in range(query.shape[1]):
            for start in range(1 - window, length):
                places = [place for place in range(start, start + window) if 0 <= place < length]
                within = attend(query[row, head, places], key[row, head, places], value[row, head, places])
                for index, place in enumerate(places):
                    output[row, head, place] += fusion[place - start] * within[index]
    return output


def test_global_is_eq_4_over_real_utterances():
    torch.manual_seed(0)
    query, key, value, mask = heads([5, 3], padded=2)
    output = global_attention(query, key, value, mask)
    for row, length in enumerate([5, 3]):
        for head in range(2):
            part = (row, head, slice(length))
            torch.testing.assert_close(output[part], attend(query[part], key[part], value[part]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.integers(1, 7), st.integers(0, 4), st.integers(0, 2**31))
def test_local_is_eq_5_window_by_window(lengths, window, padded, seed):
    torch.manual_seed(seed)
    query, key, value, mask = heads(lengths, padded=padded + 1)
    fusion = torch.randn(window, dtype=torch.float64).softmax(0)
    torch.testing.assert_close(
        local_attention(query, key, value, mask, fusion), slow_local(query, key, value, mask, fusion)
    )


def test_every_utterance_lies_in_w_windows_whose_weights_add_up_to_one():
    query, key, value, mask = heads([1, 2, 9], padded=1)
    output = local_attention(query, key, torch.ones_like(value), mask, torch.tensor([0.5, 0.2, 0.2, 0.1]).double())
    torch.testing.assert_close(output[:, 0, :, 0], mask.double())


def test_local_reaches_the_window_and_no_further():
    query, key, value, mask = heads([12])
    value.requires_grad_()
    output = local_attention(query, key, value, mask, torch.full((3,), 1 / 3, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(output[0, 0, 6].sum(), value)
    assert gradient[0, 0].abs().sum(1).nonzero().squeeze(1).tolist() == [4, 5, 6, 7, 8]


def dual(alpha=0.7, spiking=True, window=5):
    torch.manual_seed(0)
    neurons = RateCoding(steps=4, decay=0.9, threshold=0.5, rise=0.2) if spiking else None
    attention = DualAttention(8, heads=2, alpha=alpha, window=window, spiking=neurons)
    if attention.fusion is not None:
        torch.nn.init.normal_(attention.fusion)
    return attention


@pytest.mark.parametrize("spiking", [True, False])
def test_eq_6_mixes_both_on_the_same_heads(spiking):
    attention, inputs = dual(0.3, spiking), torch.randn(2, 7, 8)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    current = attention.query_key_value(inputs)
    coded = attention.spiking(current) if spiking else current
    query, key, value = (part.view(2, 7, 2, 4).transpose(1, 2) for part in coded.split(8, dim=-1))
    mixed = 0.3 * global_attention(query, key, value, mask)
    mixed = mixed + 0.7 * local_attention(query, key, value, mask, attention.fusion.softmax(0))
    expected = attention.output(mixed.transpose(1, 2).reshape(2, 7, 8))
    torch.testing.assert_close(attention(inputs[mask], mask).output, expected[mask])


def test_the_ablations_leave_their_part_out():
    inputs, mask = torch.randn(1, 9, 8), torch.ones(1, 9, dtype=torch.bool)
    assert dual(1.0).fusion is None
    far = inputs.clone()
    far[0, 8] += 3
    local, both = dual(0.0, window=3), dual(0.5, window=3)
    assert torch.equal(local(inputs[0], mask).output[:6], local(far[0], mask).output[:6])
    assert not torch.equal(both(inputs[0], mask).output[:6], both(far[0], mask).output[:6])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("spiking", [True, False])
def test_padding_changes_nothing(alpha, spiking):
    attention, inputs = dual(alpha, spiking), torch.randn(2, 6, 8)
    mask = torch.arange(6) < torch.tensor([[6], [3]])
    short = attention(inputs[mask], mask)
    longer = attention(inputs[mask], torch.cat([mask, torch.zeros(2, 7, dtype=torch.bool)], 1))
    torch.testing.assert_close(longer.output, short.output, atol=1e-6, rtol=1e-5)
    for name, rate in short.firing.items():
        torch.testing.assert_close(longer.firing[name], rate)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_row_of_padding_alone_changes_nothing_and_leaves_gradients_finite(alpha):
    attention, inputs = dual(alpha), torch.randn(6, 8, requires_grad=True)
    mask = torch.tensor([6 * [False], 6 * [True]])
    output = attention(inputs, mask).output
    torch.testing.assert_close(output, attention(inputs, mask[1:]).output)
    output.square().sum().backward()
    assert inputs.grad.isfinite().all() and inputs.grad.abs().max() > 0
    assert all(parameter.grad.isfinite().all() for parameter in attention.parameters())


def test_firing_rates_are_those_of_query_key_and_value():
    attention, inputs, mask = dual(), torch.randn(3, 8), torch.tensor([[True, True, True, False]])
    rates = attention.spiking(attention.query_key_value(inputs))
    firing = attention(inputs, mask).firing
    expected = [rates[:, start : start + 8].mean().item() for start in (0, 8, 16)]
    assert [firing[name].mean().item() for name in ("query", "key", "value")] == pytest.approx(expected)
    assert not any(rate.requires_grad for rate in firing.values())
    assert dual(spiking=False)(inputs, mask).firing == {}


def test_large_scores_neither_overflow_nor_vanish():
    query, key, value, mask = heads([8])
    output = local_attention(1e4 * query, 1e4 * key, value, mask, torch.full((5,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(
        output, slow_local(1e4 * query, 1e4 * key, value, mask, torch.full((5,), 0.2, dtype=torch.float64))
    )


@pytest.mark.parametrize("window", [1, 3, 9, 40])
def test_one_exponential_for_all_windows_and_one_softmax_for_each_agree(window, monkeypatch):
    query, key, value, mask = heads([37, 5, 16])
    fusion = torch.rand(window, dtype=torch.float64).softmax(0)
    several = local_attention(query, key, value, mask, fusion)
    torch.testing.assert_close(several, slow_local(query, key, value, mask, fusion))
    monkeypatch.setattr(attention_module, "RANGE", -1.0)
    torch.testing.assert_close(local_attention(query, key, value, mask, fusion), several)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_gradient(alpha):
    attention = dual(alpha, spiking=False, window=3).double()
    mask = torch.tensor([5 * [True], [True, True, False, False, False]])
    inputs = torch.randn(7, 8, dtype=torch.float64, requires_grad=True)
    parameters = [attention.fusion] if attention.fusion is not None else []
    assert torch.autograd.gradcheck(lambda *values: attention(values[0], mask).output, (inputs, *parameters))
