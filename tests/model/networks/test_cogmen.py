import pytest
import torch

from bigfusion.model.layers.context import dividing_heads
from bigfusion.model.layers.graph import Relations
from bigfusion.model.layers.rgcn import RelationalConvolution
from bigfusion.model.layers.window import edges, heard
from bigfusion.model.network_settings.cogmen import COGMENSettings
from tests.helpers.network_suite import NetworkSuite


class TestCOGMEN(NetworkSuite):
    settings = COGMENSettings(width=8, inner=10, dropout=0.0)
    random = {"dropout": 0.3}


class TestCOGMENByOrder(NetworkSuite):
    settings = COGMENSettings(width=8, inner=10, dropout=0.0, relations="order", past=2, future=1)


def test_two_utterances_of_two_speakers_by_hand():
    torch.manual_seed(0)
    relations, mask = Relations("pairs", 2), torch.ones(1, 2, dtype=torch.bool)
    linked = edges(heard(mask, 1, 1), mask)
    source, target = linked
    speaker = torch.tensor([0, 1])
    relation = relations.of(speaker[source], speaker[target], later=source >= target)
    assert set(zip(source.tolist(), target.tolist(), relation.tolist(), strict=True)) == {
        (0, 0, 1),  # A, A, not earlier
        (1, 0, 5),  # B to A, later
        (0, 1, 2),  # A to B, earlier
        (1, 1, 7),  # B, B, not earlier
    }
    layer, nodes = RelationalConvolution(3, relations.count).double(), torch.randn(2, 3, dtype=torch.float64)
    torch.nn.init.normal_(layer.bias)
    weight = layer.relation_weight
    expected = nodes[0] @ layer.self_weight + nodes[0] @ weight[1] + nodes[1] @ weight[5] + layer.bias
    torch.testing.assert_close(layer(nodes, linked, relation)[0], expected)


def test_without_a_future_window_an_utterance_hears_the_past_alone():
    mask = torch.tensor([[True, True, True, False]])
    linked = edges(heard(mask, past=1, future=0), mask)
    assert sorted(linked.T.tolist()) == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2]]  # source, target


def test_edges_join_packed_utterances_of_one_dialogue():
    mask = torch.tensor([[True, False, False], [True, True, False]])
    assert sorted(edges(heard(mask, 5, 5), mask).T.tolist()) == [[0, 0], [1, 1], [1, 2], [2, 1], [2, 2]]


@pytest.mark.parametrize(("width", "heads"), [(1380, 10), (2948, 11), (1666, 7), (1024, 8), (6, 6), (5, 5), (2606, 2)])
def test_the_heads_are_the_smallest_of_7_to_14_that_divide_the_width(width, heads):
    assert dividing_heads(width) == heads
