import pytest
import torch

from bigfusion.model.contrast.graphcl import TYPES, augmented, drawn_types, subgraph
from bigfusion.model.contrast.views import view_weights
from bigfusion.model.contrast_settings.graphcl import GraphCLSettings
from tests.helpers.contrast_suite import ContrastSuite, edges_of, graph_of_lengths, inputs_of


class TestGraphCL(ContrastSuite):
    settings = GraphCLSettings()
    nothing = GraphCLSettings(ratio=(0, 0))


def view_of(name, lengths=(20, 7), ratio=0.2, seed=5, window=3):
    graph = graph_of_lengths(lengths, window=window)
    nodes = inputs_of(graph)
    torch.manual_seed(seed)
    return graph, nodes, augmented(nodes, graph, drawn_types(name, graph), ratio)


def test_four_of_twenty_nodes_are_dropped():
    """All their edges weigh 0, the others 1: BIG-FUSION's own view at eta 0 with these as its least important."""
    graph, nodes, view = view_of("nodes")
    assert torch.equal(view.nodes, nodes)
    source, _ = graph.edge_index
    alive = torch.zeros(27, dtype=torch.double).index_add_(0, source, view.weights)
    gone = alive == 0
    assert torch.bincount(graph.dialogue[gone]).tolist() == [4, 1]
    assert torch.equal(view.weights, view_weights((~gone).double(), graph, 0.2, 0.0).double())


@pytest.mark.parametrize(("lengths", "counts"), [((20, 7), [21, 6]), ((9, 2), [8, 0])])
def test_the_floor_of_the_edges_share_is_dropped(lengths, counts):
    """108 and 30 edges, and 42 and 2."""
    graph, nodes, view = view_of("edges", lengths)
    assert torch.equal(view.nodes, nodes)
    assert [int((view.weights[edges_of(graph, row)] == 0).sum()) for row in range(2)] == counts


def test_masked_rows_are_the_dialogues_mean_row_without_gradient():
    graph = graph_of_lengths((20, 7))
    nodes = inputs_of(graph).requires_grad_()
    view = augmented(nodes, graph, drawn_types("attributes", graph), 0.2)
    assert (view.weights == 1).all()
    masked = (view.nodes != nodes).any(1)
    assert torch.bincount(graph.dialogue[masked]).tolist() == [4, 1]
    for row in range(2):
        mean = nodes.detach()[graph.dialogue == row].mean(0)
        found = view.nodes[masked & (graph.dialogue == row)]
        torch.testing.assert_close(found, mean.expand_as(found))
    view.nodes.sum().backward()
    assert torch.equal(nodes.grad, (~masked).double().unsqueeze(1).expand_as(nodes))


@pytest.mark.parametrize("window", [1, 3])
def test_a_subgraph_is_connected_and_as_large_as_it_should_be(window):
    graph = graph_of_lengths((20, 7, 1, 2), window=window)
    adjacent = torch.zeros(30, 30, dtype=torch.bool)
    adjacent[graph.edge_index[0], graph.edge_index[1]] = True
    for _ in range(20):
        kept = subgraph(graph, 0.8)
        assert torch.bincount(graph.dialogue[kept], minlength=4).tolist() == [16, 5, 1, 1]
        for row in range(4):
            own = (kept & (graph.dialogue == row)).nonzero()[:, 0]
            reached = {int(own[0])}
            while True:
                more = {int(v) for v in own if any(adjacent[u, v] for u in reached)} | reached
                if more == reached:
                    break
                reached = more
            assert reached == set(own.tolist())


def test_a_subgraph_grows_as_node_after_node_would():
    """On a path of four with two kept: start 0 -> {0, 1}; start 1 -> {0, 1} or {1, 2}; and so on: 3/8, 1/4, 3/8."""
    graph = graph_of_lengths((4,) * 4000, window=1)
    kept = subgraph(graph, 0.5).view(4000, 4)
    shares = torch.stack([kept[:, place] & kept[:, place + 1] for place in range(3)]).double().mean(1)
    torch.testing.assert_close(shares, torch.tensor([0.375, 0.25, 0.375], dtype=torch.double), atol=0.03, rtol=0)


def test_a_bigger_subgraph_grows_as_node_after_node_would():
    """Five nodes, window 2, three kept: the share of each set equals that of growing one node at a time."""
    graph = graph_of_lengths((5,) * 6000, window=2)
    kept = subgraph(graph, 0.6).view(6000, 5)
    found = torch.bincount((kept * 2 ** torch.arange(5)).sum(1), minlength=32) / 6000
    expected = torch.zeros(32)

    def grow(nodes, chance):
        if len(nodes) == 3:
            expected[sum(2**node for node in nodes)] += chance
            return
        around = [v for v in range(5) if v not in nodes and any(abs(u - v) <= 2 for u in nodes)]
        for node in around:
            grow(nodes | {node}, chance / len(around))

    for start in range(5):
        grow({start}, 0.2)
    torch.testing.assert_close(found, expected, atol=0.025, rtol=0)


def test_a_subgraph_is_the_view_without_the_other_nodes():
    graph, _, view = view_of("subgraph", (10,), 0.2)
    source, _ = graph.edge_index
    alive = torch.zeros(10, dtype=torch.double).index_add_(0, source, view.weights) > 0
    assert alive.sum() == 8
    assert torch.equal(view.weights == 1, alive[graph.edge_index].all(0))


def test_each_type_is_as_likely():
    counts = torch.bincount(drawn_types("any", graph_of_lengths((1,) * 4000, seed=8)))
    assert len(counts) == len(TYPES) == 4 and ((counts - 1000).abs() <= 100).all()


def test_each_dialogue_has_its_own_type():
    """Dialogue 0 loses nodes, 1 edges, 2 attributes; each as it would alone."""
    graph = graph_of_lengths((10, 10, 10))
    nodes = inputs_of(graph)
    view = augmented(nodes, graph, torch.tensor([0, 1, 2]), 0.2)
    changed = (view.nodes != nodes).any(1)
    assert torch.bincount(graph.dialogue[changed], minlength=3).tolist() == [0, 0, 2]
    dropped = [int((view.weights[edges_of(graph, row)] == 0).sum()) for row in range(3)]
    assert dropped[1:] == [9, 0] and dropped[0] >= 10
