import math

import pytest
import torch

from bigfusion.model.layers.modal_graph import angular_weights
from bigfusion.model.network_settings.adaign import AdaIGNSettings
from bigfusion.model.networks.adaign import directed_graph, mean_so_far
from tests.helpers.network_suite import NetworkSuite, batch

SMALL = {"width": 8, "graph_width": 6, "layers": 2, "speaker_width": 3, "dropout": 0.0, "gumbel": False}
MASK = torch.ones(1, 5, dtype=torch.bool)
SPEAKERS = torch.tensor([[0, 1, 0, 0, 1]])
SAME = SPEAKERS.unsqueeze(1) == SPEAKERS.unsqueeze(2)


class TestAdaIGN(NetworkSuite):
    settings = AdaIGNSettings(**SMALL)
    random = {"gumbel": True, "dropout": 0.3}


class TestCausalAdaIGN(NetworkSuite):
    settings = AdaIGNSettings(**SMALL, recurrence=False)
    random = {"gumbel": True}


class TestAdaIGNOfParties(NetworkSuite):
    settings = AdaIGNSettings(**SMALL, party=True)
    random = {"gumbel": True}


def test_identical_features_have_nearly_the_full_weight():
    within, across = angular_weights(torch.ones(5, 2, 3, dtype=torch.float64), MASK)
    expected = 1 - math.acos(0.99999) / math.pi
    assert expected == pytest.approx(0.99858, abs=5e-6)
    torch.testing.assert_close(within, torch.full_like(within, expected))
    torch.testing.assert_close(across[:, 0, 1], torch.full_like(across[:, 0, 1], expected))


def test_an_utterance_hears_itself_and_the_past_alone():
    graph = directed_graph(torch.randn(5, 2, 3, dtype=torch.float64), MASK, SAME, None)
    earlier = torch.ones(5, 5, dtype=torch.bool).tril()
    assert torch.equal(graph.within[0, 0] > 0, earlier)


def test_the_directed_graph_is_normalised_by_its_row_sums():
    nodes = torch.randn(5, 2, 3, dtype=torch.float64)
    within, across = angular_weights(nodes, MASK)
    whole = torch.zeros(10, 10, dtype=torch.float64)  # five utterances of one modality, then five of the other
    for modality in range(2):
        start = slice(5 * modality, 5 * modality + 5)
        whole[start, start] = within[0, modality].tril()
    for row in range(5):
        whole[row, 5 + row] = whole[5 + row, row] = across[row, 0, 1]
    root = whole.sum(1).rsqrt()
    expected = root[:, None] * whole * root
    graph, states = directed_graph(nodes, MASK, SAME, None), torch.randn(5, 2, 4, dtype=torch.float64)
    found = graph.propagate(states).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(found, expected @ states.transpose(0, 1).flatten(0, 1))


def test_a_context_of_the_own_speaker_is_the_same_speakers_graph():
    nodes, context = torch.randn(5, 2, 3, dtype=torch.float64), torch.ones(5, 2, dtype=torch.float64)
    own = directed_graph(nodes, MASK, SAME, context)
    assert torch.equal(own.within[0, 0] > 0, torch.ones(5, 5, dtype=torch.bool).tril() & SAME[0])
    others = directed_graph(nodes, MASK, SAME, 0 * context)
    assert torch.equal(others.within[0, 0] > 0, torch.ones(5, 5, dtype=torch.bool).tril() & ~SAME[0])
    half = directed_graph(nodes, MASK, SAME, 0.5 * context)
    assert ((half.within[0] > 0) == torch.ones(5, 5, dtype=torch.bool).tril()).all()


def test_with_the_original_graph_alone_the_selected_branch_has_no_say():
    network, inputs = TestAdaIGN().network().eval(), batch()
    torch.nn.init.zeros_(network.graph[2].weight)
    network.graph[2].bias.data.copy_(torch.tensor([1e4, -1e4]))  # g = 1
    expected = network(inputs).logits
    for parameter in network.selected.parameters():
        torch.nn.init.normal_(parameter)
    assert torch.equal(network(inputs).logits, expected)
    network.graph[2].bias.data.zero_()
    assert not torch.allclose(network(inputs).logits, expected)


def test_means_run_over_the_utterances_so_far():
    network, inputs = TestAdaIGN().network(), batch((3, 2))
    utterances = network.read(inputs)
    values = torch.tensor([1.0, 2.0, 6.0, 5.0, 7.0]).unsqueeze(1)
    assert mean_so_far(values, utterances).flatten().tolist() == [1.0, 1.5, 3.0, 5.0, 6.0]


def test_the_draws_cool_with_the_epochs():
    network = TestAdaIGN().network()
    found = []
    for epoch in (1, 2, 3):
        network.begin_epoch(epoch, 60)
        found.append(network.temperature)
    assert found == pytest.approx([5.0, 4.825, 4.656125])


def test_even_policies_cost_the_sum_of_the_weights_times_ln_2():
    network, inputs = TestAdaIGN().network(), batch()
    for policy in (*network.node.values(), *network.context.values(), network.graph):
        torch.nn.init.zeros_(policy[2].weight)
        torch.nn.init.zeros_(policy[2].bias)
    part = network.loss(network(inputs), inputs)["policies"]
    assert part.per == "nodes" and part.value.item() == pytest.approx((0.6 + 0.1 + 0.9 + 0.2) * math.log(2))
