import math

import pytest
import torch

from bigfusion.model.layers.attention import DualAttention
from bigfusion.model.layers.spiking import RateCoding
from bigfusion.model.layers.transformer import DualTransformer, EncoderLayer, positions


@pytest.mark.parametrize("width", [6, 5])
def test_positions_are_sines_and_cosines(width):
    table = positions(9, width, like=torch.zeros(1))
    for place in range(9):
        for channel in range(width):
            angle = place / 10_000 ** (2 * (channel // 2) / width)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert table[place, channel].item() == pytest.approx(expected, abs=1e-6)


def test_a_layer_is_pre_norm_with_two_residuals():
    torch.manual_seed(0)
    attention = DualAttention(8, heads=2, alpha=0.5, window=3, spiking=None)
    layer = EncoderLayer(attention, 8, dropout=0.5).eval()
    inputs, mask = torch.randn(10, 8), torch.ones(2, 5, dtype=torch.bool)
    hidden = inputs + attention(layer.attention_norm(inputs), mask).output
    norm, wide, activation, _, narrow = layer.feed_forward
    torch.testing.assert_close(layer(inputs, mask).output, hidden + narrow(activation(wide(norm(hidden)))))


def transformer(spiking=True, layers=2):
    torch.manual_seed(1)
    neurons = RateCoding(steps=4, decay=0.9, threshold=0.5, rise=0.2) if spiking else None
    sizes = {"layers": layers, "heads": 2, "dropout": 0.2, "alpha": 0.7, "window": 3}
    return DualTransformer(8, **sizes, spiking=neurons).eval()


def test_padding_changes_nothing():
    network, inputs = transformer(), torch.randn(8, 8)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    short, longer = network(inputs, mask), network(inputs, torch.cat([mask, torch.zeros(2, 5, dtype=torch.bool)], 1))
    torch.testing.assert_close(longer.output, short.output, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(longer.rates, short.rates)


def test_positions_start_anew_in_every_dialogue():
    network, inputs = transformer(), torch.randn(4, 8)
    twice = network(torch.cat([inputs, inputs]), torch.ones(2, 4, dtype=torch.bool)).output
    torch.testing.assert_close(twice[:4], twice[4:])


def test_order_matters():
    network, inputs, mask = transformer(spiking=False), torch.randn(6, 8), torch.ones(1, 6, dtype=torch.bool)
    reversed_back = network(inputs.flip(0), mask).output.flip(0)
    assert (reversed_back - network(inputs, mask).output).abs().max() > 0.01


def test_rates_carry_their_layers_name():
    inputs, mask = torch.randn(6, 8), torch.ones(1, 6, dtype=torch.bool)
    names = {f"layer{layer}.{part}" for layer in (1, 2) for part in ("query", "key", "value")}
    assert set(transformer()(inputs, mask).rates) == names
    assert transformer(spiking=False)(inputs, mask).rates == {}
