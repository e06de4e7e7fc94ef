import torch
from torch.nn.functional import layer_norm

from bigfusion.model.network_settings.ga2mif import GA2MIFSettings
from bigfusion.model.networks.ga2mif import GraphAttention, PartnerAttention
from tests.helpers.network_suite import NetworkSuite

SMALL = {"width": 8, "heads": 2, "rounds": 2, "graph_heads": 2, "layers": 2, "past": 2, "future": 3, "dropout": 0.0}


class TestGA2MIF(NetworkSuite):
    settings = GA2MIFSettings(**SMALL)
    random = {"dropout": 0.3}


class TestGA2MIFAsReleased(NetworkSuite):
    settings = GA2MIFSettings(**SMALL, form="released")
    random = {"dropout": 0.3}


def attention(**changes):
    torch.manual_seed(0)
    return GraphAttention(GA2MIFSettings(**SMALL | {"rounds": 1} | changes)).double()


def test_without_scores_graph_attention_is_the_mean_over_the_receivers_window():
    layer, states = attention(past=1, future=2), torch.randn(5, 8, dtype=torch.float64)
    (convolution,) = layer.convolutions
    torch.nn.init.zeros_(convolution.att)
    torch.nn.init.zeros_(convolution.bias)
    mapped = convolution.lin_l(states).view(5, 2, 8).mean(1)  # over heads
    means = torch.stack([mapped[max(i - 1, 0) : i + 3].mean(0) for i in range(5)])  # one earlier, two later
    found = layer(states, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(found, layer_norm(states + means, (8,)))


def test_equal_inputs_and_an_identity_are_doubled():
    layer, one = attention(), torch.randn(8, dtype=torch.float64)
    (convolution,) = layer.convolutions
    convolution.lin_l.weight.data.copy_(torch.eye(8).repeat(2, 1))
    for bias in (convolution.lin_l.bias, convolution.bias):
        torch.nn.init.zeros_(bias)
    found = layer(one.expand(4, 8), torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(found, layer_norm(2 * one, (8,)).expand(4, 8))


def test_of_one_utterance_the_partner_has_no_say():
    torch.manual_seed(0)
    layer = PartnerAttention(GA2MIFSettings(**SMALL), ["text"]).double()
    own, mask = torch.randn(1, 8, dtype=torch.float64), torch.tensor([[True, False, False]])
    inner = layer.attention["text"]
    value = own @ inner.in_proj_weight[16:].T + inner.in_proj_bias[16:]
    expected = inner.out_proj(value)
    for partner in torch.randn(2, 1, 8, dtype=torch.float64):
        torch.testing.assert_close(layer.attend("text", partner, own, mask), expected)


def test_as_released_rounds_share_weights_and_one_partner_is_heard():
    paper, released = TestGA2MIF.evaluated(), TestGA2MIFAsReleased.evaluated()
    assert [len(network.graph["text"].convolutions) for network in (paper, released)] == [2, 1]
    partners = {name: list(layer.attention) for name, layer in released.layers[0].items()}
    assert partners == {"audio": ["text"], "visual": ["text"], "text": ["visual"]}
    assert list(paper.layers[0]["audio"].attention) == ["visual", "text"]


def test_attentions_weights_are_not_dropped():
    """What it finds is."""
    torch.manual_seed(0)
    layer = PartnerAttention(GA2MIFSettings(**SMALL | {"dropout": 0.5}), ["text"]).double().train()
    own, text = torch.randn(2, 6, 8, dtype=torch.float64)
    mask = torch.ones(1, 6, dtype=torch.bool)
    torch.testing.assert_close(layer.attend("text", text, own, mask), layer.attend("text", text, own, mask))
    assert not torch.equal(layer(own, {"text": text}, mask), layer(own, {"text": text}, mask))
