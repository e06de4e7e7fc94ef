import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from bigfusion.model.layers.graph import build_graph
from bigfusion.model.network_settings.cmcf_srnet import CMCFSRNetSettings
from bigfusion.model.networks.cmcf_srnet import (
    RELATIONS,
    SELF,
    GraphTransformerLayer,
    LocalCrossLayer,
    dense_relations,
    seen_locally,
)
from tests.helpers.network_suite import NetworkSuite
from tests.helpers.slow_forms import rows


class TestCMCFStyle(NetworkSuite):
    settings = CMCFSRNetSettings(width=8, heads=2, layers=1, window=2, graph_window=3, dropout=0.0)
    random = {"dropout": 0.3}


def cross():
    torch.manual_seed(0)
    return LocalCrossLayer(8, 2, dropout=0.0).double()


MASK = torch.ones(1, 6, dtype=torch.bool)


def test_without_a_window_no_other_utterance_changes_a_row():
    layer, own, other = cross(), *torch.randn(2, 6, 8, dtype=torch.float64)
    seen = seen_locally(MASK, 0)
    expected = layer(own, other, MASK, seen)
    for rows_ in (own, other):
        rows_[3:] += 1.0
    found = layer(own, other, MASK, seen)
    assert torch.equal(found[:3], expected[:3]) and not torch.allclose(found[3:], expected[3:])


def test_a_window_over_the_dialogue_is_full_attention():
    layer, own, other = cross(), *torch.randn(2, 6, 8, dtype=torch.float64)
    attended, _ = layer.attention(own[None], other[None], other[None])
    states = layer.norm(own + attended[0])
    expected = layer.last_norm(states + layer.feed_forward(states))
    torch.testing.assert_close(layer(own, other, MASK, seen_locally(MASK, 5)), expected)


@pytest.mark.parametrize("bias", [0.0, 1.7])
def test_equal_biases_without_closeness_are_plain_masked_attention(bias):
    torch.manual_seed(0)
    layer, nodes = GraphTransformerLayer(8, 2, dropout=0.0).double(), torch.randn(6, 8, dtype=torch.float64)
    torch.nn.init.constant_(layer.relation, bias)
    speakers, seen = torch.tensor([[0, 1, 1, 0, 2, 0]]), seen_locally(MASK, 2)
    query, key, value = (part.view(6, 2, 4).transpose(0, 1) for part in layer.query_key_value(nodes).chunk(3, dim=-1))
    plain = scaled_dot_product_attention(query, key, value, attn_mask=seen[0])
    expected = layer.output(plain.transpose(0, 1).flatten(1))
    cosine = torch.randn(1, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(layer.attend(nodes, dense_relations(speakers), cosine, seen, MASK), expected)


def test_closeness_raises_the_weight_of_what_is_alike():
    torch.manual_seed(0)
    layer, nodes = GraphTransformerLayer(8, 1, dropout=0.0).double(), torch.randn(6, 8, dtype=torch.float64)
    torch.nn.init.constant_(layer.closeness, 50.0)
    alike = torch.eye(6, dtype=torch.float64).roll(1, 1).unsqueeze(0)  # i is like i + 1 alone
    found = layer.attend(nodes, torch.zeros(1, 6, 6, dtype=torch.long), alike, torch.ones(1, 6, 6).bool(), MASK)
    value = layer.query_key_value(nodes).chunk(3, dim=-1)[2]
    torch.testing.assert_close(found, layer.output(value.roll(-1, 0)), atol=1e-9, rtol=1e-9)


def test_the_dense_relations_are_the_graphs():
    mask, speakers = rows([5, 3])
    graph = build_graph(mask, speakers, 2, RELATIONS)
    dense = dense_relations(speakers)
    packed = torch.block_diag(*(dense[b][mask[b]][:, mask[b]] for b in range(2)))
    source, target = graph.edge_index
    assert torch.equal(packed[target, source], graph.relation)
    assert (dense.diagonal(dim1=1, dim2=2) == SELF).all()
