import pytest
import torch
from torch_geometric.nn import RGCNConv

from bigfusion.model.layers.graph import Relations, build_graph
from bigfusion.model.layers.rgcn import RelationalConvolution, RelationalEncoder
from tests.helpers.slow_forms import rows


def graph_and_nodes(relations=None, window=3, width=6, lengths=(7, 1, 4)):
    mask, speakers = rows(list(lengths), speakers=3)
    graph = build_graph(mask, speakers, window, relations or Relations())
    return graph, torch.randn(len(graph.dialogue), width)


def slow(convolution, nodes, graph, weight):
    """Node by node, relation by relation, edge by edge."""
    output = []
    for target in range(len(nodes)):
        total = nodes[target] @ convolution.self_weight + convolution.bias
        for relation in range(convolution.relations):
            arrives = (graph.edge_index[1] == target) & (graph.relation == relation)
            for edge in arrives.nonzero()[:, 0]:
                message = nodes[graph.edge_index[0, edge]] @ convolution.relation_weight[relation]
                total = total + weight[edge] * message / arrives.sum()
        output.append(total)
    return torch.stack(output)


@pytest.mark.parametrize("relations", [Relations(), Relations("pairs", 3)])
def test_pygs_layer_agrees_where_weights_are_one(relations):
    torch.manual_seed(0)
    graph, nodes = graph_and_nodes(relations)
    ours, library = RelationalConvolution(6, relations.count), RGCNConv(6, 6, relations.count, aggr="mean")
    torch.nn.init.normal_(ours.bias)
    with torch.no_grad():
        library.weight.copy_(ours.relation_weight)
        library.root.copy_(ours.self_weight)
        library.bias.copy_(ours.bias)
    expected = library(nodes, graph.edge_index, graph.relation)
    torch.testing.assert_close(ours(nodes, graph.edge_index, graph.relation), expected)
    ones = torch.ones(len(graph.relation))
    torch.testing.assert_close(ours(nodes, graph.edge_index, graph.relation, ones), expected)


def test_weighted_edges_against_plain_loops():
    torch.manual_seed(1)
    graph, nodes = graph_and_nodes()
    convolution, weight = RelationalConvolution(6, 4), torch.rand(len(graph.relation))
    torch.testing.assert_close(
        convolution(nodes, graph.edge_index, graph.relation, weight), slow(convolution, nodes, graph, weight)
    )


def test_lowering_every_edge_of_a_node_lowers_what_it_gets():
    """Were the mean divided by the sum of the weights, nothing would change."""
    torch.manual_seed(2)
    graph, nodes = graph_and_nodes()
    convolution = RelationalConvolution(6, 4)
    alone = nodes @ convolution.self_weight + convolution.bias
    full = convolution(nodes, graph.edge_index, graph.relation) - alone
    half = convolution(nodes, graph.edge_index, graph.relation, torch.full((len(graph.relation),), 0.5)) - alone
    torch.testing.assert_close(half, 0.5 * full)
    assert full.abs().max() > 0.1


def test_without_edges_the_self_weight_remains():
    graph, nodes = graph_and_nodes(window=0)
    convolution = RelationalConvolution(6, 4)
    output = convolution(nodes, graph.edge_index, graph.relation)
    torch.testing.assert_close(output, nodes @ convolution.self_weight + convolution.bias)


def test_no_dialogue_reaches_another():
    torch.manual_seed(3)
    graph, nodes = graph_and_nodes(lengths=(5, 5))
    encoder = RelationalEncoder(6, 4, layers=3)
    changed = nodes.clone()
    changed[:5] += 1
    assert torch.equal(encoder(nodes, graph)[5:], encoder(changed, graph)[5:])


def test_the_encoder_puts_a_relu_after_each_layer():
    torch.manual_seed(4)
    graph, nodes = graph_and_nodes()
    encoder, weight = RelationalEncoder(6, 4, layers=2), torch.rand(len(graph.relation))
    first, second = encoder.convolutions
    hidden = first(nodes, graph.edge_index, graph.relation, weight).relu()
    expected = second(hidden, graph.edge_index, graph.relation, weight).relu()
    torch.testing.assert_close(encoder(nodes, graph, weight), expected)


def test_gradient():
    torch.manual_seed(5)
    graph, nodes = graph_and_nodes(width=3)
    convolution = RelationalConvolution(3, 4).double()
    nodes, weight = nodes.double().requires_grad_(), torch.rand(len(graph.relation)).double().requires_grad_()

    def convolve(nodes, weight, *_):
        return convolution(nodes, graph.edge_index, graph.relation, weight)

    assert torch.autograd.gradcheck(convolve, (nodes, weight, *convolution.parameters()))
