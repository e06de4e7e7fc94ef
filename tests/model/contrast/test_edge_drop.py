import torch

from bigfusion.model.contrast_settings.edge_drop import EdgeDropSettings
from tests.helpers.contrast_suite import ContrastSuite, built, edges_of, graph_of_lengths, host_of, inputs_of


class TestEdgeDrop(ContrastSuite):
    settings = EdgeDropSettings()
    nothing = EdgeDropSettings(ratio=(0, 0))


def test_the_floor_of_each_dialogues_share_is_dropped():
    graph, settings = graph_of_lengths((9, 1, 2, 14)), EdgeDropSettings(ratio=(0.2, 0.5))
    nodes = inputs_of(graph)
    views = built(settings).views(nodes, graph, host_of(graph, settings))
    for view, ratio in ((views.first, 0.2), (views.second, 0.5)):
        assert view.nodes is nodes
        for row in range(4):
            own = edges_of(graph, row)
            assert int((view.weights[own] == 0).sum()) == int(ratio * int(own.sum()))
            assert set(view.weights[own].tolist()) <= {0.0, 1.0}


def test_every_edge_is_as_likely():
    graph, settings = graph_of_lengths((5,) * 2000, window=1), EdgeDropSettings(ratio=(0.25, 0.25))
    view = built(settings).views(inputs_of(graph), graph, host_of(graph_of_lengths(), settings)).first
    gone = (1 - view.weights.view(2000, 8)).mean(0)
    torch.testing.assert_close(gone, torch.full_like(gone, 0.25), atol=0.04, rtol=0)
