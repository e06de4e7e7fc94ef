import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN2Conv

from bigfusion.model.layers.modal_graph import GCN2Stack, angular_weights, modal_graph


def dense(graph, count: int, length: int) -> torch.Tensor:
    """A_hat of one dialogue, modality after modality: what each node alone gives to all. Shape: (M N, M N)."""
    basis = torch.eye(count * length, dtype=graph.within.dtype).view(count, length, -1).transpose(0, 1)
    return graph.propagate(basis).transpose(0, 1).flatten(0, 1)


def test_each_modality_is_joined_with_itself_and_each_utterance_with_itself():
    torch.manual_seed(0)
    length = 5
    found = dense(modal_graph(torch.randn(length, 3, 4), torch.ones(1, length, dtype=torch.bool)), 3, length)
    assert (found != 0).sum() == 3 * length**2 + 6 * length
    torch.testing.assert_close(found, found.T)
    nodes = torch.arange(3 * length)
    modality, place = nodes // length, nodes % length
    joined = (modality.unsqueeze(1) == modality) | (place.unsqueeze(1) == place)
    assert torch.equal(found != 0, joined)


def test_one_utterance_has_the_weights_worked_out_by_hand():
    nodes = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]).double()  # a, v, l
    mask = torch.ones(1, 1, dtype=torch.bool)
    within, across = angular_weights(nodes, mask)
    loop = 0.998576
    whole = across[0] + within[0, :, 0, 0].diag()
    hand = torch.tensor([[loop, 0.5, loop], [0.5, loop, 0.5], [loop, 0.5, loop]]).double()
    torch.testing.assert_close(whole, hand, atol=1e-6, rtol=0)
    normalised = dense(modal_graph(nodes, mask), 3, 1)
    torch.testing.assert_close(normalised[0], torch.tensor([0.399886, 0.223814, 0.399886]).double(), atol=1e-6, rtol=0)
    assert normalised[1, 1].item() == pytest.approx(0.499644, abs=1e-6)


def test_all_weights_are_those_of_a_loop_over_pairs():
    torch.manual_seed(0)
    lengths = (4, 2)
    nodes, hidden = torch.randn(6, 3, 5).double(), torch.randn(6, 3, 6).double()
    graph = modal_graph(nodes, torch.arange(5) < torch.tensor(lengths).unsqueeze(1))
    found, first = graph.propagate(hidden), 0
    for length in lengths:
        own = slice(first, first + length)
        real = nodes[own].transpose(0, 1).flatten(0, 1)  # modality after modality
        weights = torch.zeros(3 * length, 3 * length).double()
        for i in range(3 * length):
            for j in range(3 * length):
                if i // length == j // length or i % length == j % length:
                    cosine = torch.cosine_similarity(real[i], real[j], dim=0)
                    weights[i, j] = 1 - torch.arccos(0.99999 * cosine) / math.pi
        scale = weights.sum(1).rsqrt()
        expected = scale.unsqueeze(1) * weights * scale @ hidden[own].transpose(0, 1).flatten(0, 1)
        torch.testing.assert_close(found[own].transpose(0, 1).flatten(0, 1), expected)
        first += length
    assert not graph.within[1, :, 2:].any() and not graph.within[1, :, :, 2:].any()


def test_equal_and_zero_vectors_have_finite_weights_and_gradients():
    nodes = torch.tensor([[[0.0, 0.0]] * 2, [[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2]).requires_grad_()
    mask = torch.tensor([[True, True, True, False]])
    graph = modal_graph(nodes, mask)
    within, _ = angular_weights(nodes, mask)
    assert within[0, 0, 0, 1].item() == pytest.approx(0.5)
    graph.propagate(nodes).square().sum().backward()
    assert graph.within.isfinite().all() and nodes.grad.isfinite().all()
    assert nodes.grad.abs().max() < 100


def test_theta_falls_with_depth():
    stack = GCN2Stack(4, 1, 0.1, 0.5, 0.0)
    found = [stack.theta(layer) for layer in (1, 2, 4, 64)]
    assert found == pytest.approx([0.405465, 0.223144, 0.117783, 0.007782], abs=1e-6)


def graph_of(length: int):
    return modal_graph(torch.randn(length, 3, 4).double(), torch.ones(1, length, dtype=torch.bool))


def test_with_alpha_1_and_no_weights_only_the_start_is_left():
    stack = GCN2Stack(4, 1, 1.0, 0.5, 0.0).double()
    nn.init.zeros_(stack.weights[0])
    start = torch.rand(5, 3, 4).double()
    torch.testing.assert_close(stack(start, graph_of(5)), (1 - stack.theta(1)) * start)


def test_a_layer_is_torch_geometrics_with_its_scales_taken_out():
    torch.manual_seed(0)
    alpha, length = 0.1, 5
    stack, graph = GCN2Stack(4, 3, alpha, 0.5, 0.0).double(), graph_of(length)
    start = torch.rand(length, 3, 4).double()
    weights = dense(graph, 3, length)
    edges = weights.nonzero().T.flip(0)  # sources, then targets
    hidden = flat = start.transpose(0, 1).flatten(0, 1)
    for number, weight in enumerate(stack.weights, start=1):
        trusted = GCN2Conv(4, alpha, 0.5, number, shared_weights=False, normalize=False, add_self_loops=False).double()
        trusted.weight1.data, trusted.weight2.data = weight[:4] / (1 - alpha), weight[4:] / alpha
        hidden = trusted(hidden, flat, edges, weights[edges[1], edges[0]]).relu()
    torch.testing.assert_close(stack(start, graph).transpose(0, 1).flatten(0, 1), hidden)


def test_without_weights_the_gated_layers_add_up_as_worked_out_by_hand():
    stack = GCN2Stack(4, 3, 0.2, 0.5, 0.0, gate=True).double()
    for weight in stack.parameters():
        nn.init.zeros_(weight)
    start = torch.rand(5, 3, 4).double()
    found = stack.layers(start, graph_of(5))
    for layer, times in zip(found, (1.118907, 1.274278, 1.443448), strict=True):
        torch.testing.assert_close(layer, times * start, atol=1e-6, rtol=0)


def test_the_gate_is_an_lstm_over_depth():
    torch.manual_seed(0)
    stack, graph = GCN2Stack(4, 3, 0.2, 0.5, 0.0, gate=True).double(), graph_of(2)
    start = torch.rand(2, 3, 4).double()
    lstm = nn.LSTM(4, 4).double()
    lstm.load_state_dict({f"{name}_l0": value for name, value in stack.gate.state_dict().items()})
    layers = stack.layers(start, graph)
    inputs = torch.stack([start, *layers[:-1]]).flatten(1, 2)  # (K, 6, 4): one step a layer
    gates = lstm(inputs)[0].view(3, 2, 3, 4)
    for number, (gate, weight) in enumerate(zip(gates, stack.weights, strict=True), start=1):
        near, theta = graph.propagate(gate), math.log(0.5 / number + 1)
        residual = theta * torch.cat([near, start], -1) @ weight + (1 - theta) * (0.8 * near + 0.2 * start)
        before = start if number == 1 else layers[number - 2]
        torch.testing.assert_close(layers[number - 1], residual.relu() + before)
