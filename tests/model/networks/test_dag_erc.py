import torch
from torch import nn

from bigfusion.model.layers.recurrence import Steps
from bigfusion.model.network_settings.dag_erc import DAGERCSettings
from bigfusion.model.networks.dag_erc import DAGERC, predecessors
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch
from tests.helpers.slow_forms import rows


class TestDAGERC(NetworkSuite):
    settings = DAGERCSettings(width=6, layers=2, dropout=0.0)
    random = {"dropout": 0.3}


class TestFartherReach(NetworkSuite):
    settings = DAGERCSettings(width=6, layers=1, reach=2, dropout=0.0)


def edges(speakers: list[int], reach: int = 1) -> list[list[int]]:
    """The predecessors of every utterance of one dialogue."""
    number = torch.tensor([speakers])
    found = predecessors(torch.ones_like(number, dtype=torch.bool), number, reach).edges.any(1)[0]
    return [row.nonzero().flatten().tolist() for row in found]


def test_predecessors_reach_back_to_the_speakers_own_last_utterance():
    assert edges([0, 1, 1, 0, 2, 0]) == [[], [0], [1], [0, 1, 2], [0, 1, 2, 3], [3, 4]]
    assert edges([0, 0, 1, 0], reach=2) == [[], [0], [0, 1], [0, 1, 2]]
    assert edges([0, 0, 0], reach=2) == [[], [0], [0, 1]]


def test_edges_know_whether_the_speaker_is_the_same_and_skip_padding():
    mask, speakers = rows([5, 2], padded=2)
    found = predecessors(mask, speakers, 1)
    same = speakers.unsqueeze(1) == speakers.unsqueeze(2)
    assert not (found.edges[:, 0] & ~same).any() and not (found.edges[:, 1] & same).any()
    assert not found.edges[1, :, 2:].any() and not found.edges[1, :, :, 2:].any()
    for index in range(1, 5):
        earliest = int(found.edges[:, :, index].any(1).any(0).nonzero().min())
        assert found.first[index] == earliest


def test_a_layer_is_torchs_gru_cells_utterance_by_utterance():
    torch.manual_seed(0)
    network = DAGERC(DAGERCSettings(width=6, layers=1), WIDTHS, CLASSES).double().eval()
    layer = network.layers[0]
    below, speakers = torch.randn(1, 7, 6).double(), torch.tensor([[0, 1, 0, 0, 2, 1, 2]])
    graph = predecessors(torch.ones(1, 7, dtype=torch.bool), speakers, 1)
    found = layer(below[0], graph, Steps.of(torch.tensor([7])))
    states = []
    for index, near in enumerate(edges(speakers[0].tolist())):
        message = torch.zeros(6).double()
        if near:
            weights = torch.cat([layer.score(states[j]) for j in near]).softmax(0)
            for weight, j in zip(weights, near, strict=True):
                relation = layer.same if speakers[0, j] == speakers[0, index] else layer.other
                message = message + weight * relation(states[j])
        state = layer.node(below[0, index], message) + layer.context(message, below[0, index])
        states.append(state)
        torch.testing.assert_close(found[index], state, **CLOSE)


def test_scores_that_read_the_query_too_change_nothing():
    """The released score also has a part of H_i, the same for every predecessor."""
    torch.manual_seed(0)
    states, query = torch.randn(5, 6), torch.randn(1, 6).expand(5, 6)
    both = nn.Linear(12, 1)
    whole = both(torch.cat([query, states], 1)).softmax(0)
    torch.testing.assert_close((states @ both.weight[0, 6:]).softmax(0), whole.squeeze(1))


def test_the_first_utterance_reads_nothing_but_itself():
    network, inputs = DAGERC(DAGERCSettings(width=6), WIDTHS, CLASSES).double().eval(), batch((6,))
    one = batch((6,))
    for name in WIDTHS:
        one.features[name][:, 1:] += 5
    assert torch.equal(network(one).logits[:, 0], network(inputs).logits[:, 0])
    assert not torch.allclose(network(one).logits[:, 1], network(inputs).logits[:, 1])
