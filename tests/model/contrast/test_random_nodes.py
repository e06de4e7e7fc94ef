import torch

from bigfusion.model.contrast.importance import random_importance
from bigfusion.model.contrast.views import least_important
from bigfusion.model.contrast_settings.random_nodes import RandomNodesSettings
from tests.helpers.contrast_suite import ContrastSuite, built, graph_of_lengths, host_of, inputs_of


class TestRandomNodes(ContrastSuite):
    settings = RandomNodesSettings()
    nothing = RandomNodesSettings(rho=(0, 0))


def test_edges_at_the_right_number_of_nodes_weigh_eta():
    """rho 0.4 of 20 and of 7 nodes are 8 and 2, rho 0.2 are 4 and 1; the second view draws after the first."""
    graph, settings = graph_of_lengths((20, 7)), RandomNodesSettings(rho=(0.4, 0.2), eta=0.25)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    torch.manual_seed(11)
    views = contrast.views(nodes, graph, host)
    torch.manual_seed(11)
    for view, rho, counts in ((views.first, 0.4, [8, 2]), (views.second, 0.2, [4, 1])):
        chosen = least_important(random_importance(graph), graph, rho)
        assert torch.bincount(graph.dialogue[chosen]).tolist() == counts
        assert torch.equal(view.weights, torch.where(chosen[graph.edge_index].any(0), 0.25, 1.0).double())


def test_every_node_is_as_likely():
    graph = graph_of_lengths((5,) * 2000, window=1)
    settings = RandomNodesSettings(rho=(0.2, 0.2), eta=0)
    view = built(settings).views(inputs_of(graph), graph, host_of(graph_of_lengths(), settings)).first
    source, _ = graph.edge_index
    place = source % 5
    gone = torch.bincount(place, 1 - view.weights.double(), minlength=5) / torch.bincount(place)
    expected = torch.tensor([0.4, 0.4, 0.4, 0.4, 0.4])  # an edge goes when one of its two ends is chosen
    torch.testing.assert_close(gone.float(), expected, atol=0.04, rtol=0)
