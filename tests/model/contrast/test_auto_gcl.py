import pytest
import torch

from bigfusion.model.contrast.auto_gcl import DROP, KEEP, MASK, draw, kept, similarity, view
from bigfusion.model.contrast_settings.auto_gcl import AutoGCLSettings
from tests.helpers.contrast_suite import (
    ContrastSuite,
    built,
    dialogue_of,
    encoded,
    graph_of_lengths,
    host_of,
    inputs_of,
    loss_of,
)


class TestAutoGCL(ContrastSuite):
    settings = AutoGCLSettings()
    nothing = AutoGCLSettings(keep=1e4)


def test_draws_are_one_hot_and_follow_the_softmax():
    logits = torch.tensor([1.0, 0.0, -0.5])
    torch.manual_seed(0)
    choices = draw(logits.expand(10_000, 3))
    assert set(choices.unique().tolist()) == {0.0, 1.0} and (choices.sum(1) == 1).all()
    torch.testing.assert_close(choices.mean(0), logits.softmax(0), atol=0.02, rtol=0)


def test_draws_have_the_gradient_of_the_soft_ones():
    logits = torch.tensor([[1.0, 0.0, -0.5]]).double().requires_grad_()
    torch.manual_seed(1)
    (found,) = torch.autograd.grad(draw(logits)[0, KEEP], logits)
    torch.manual_seed(1)
    noise = -torch.empty(1, 3, dtype=torch.double).exponential_().log()
    soft = (logits + noise).softmax(1)
    (expected,) = torch.autograd.grad(soft[0, KEEP], logits)
    torch.testing.assert_close(found, expected)


def chosen(*names):
    return torch.eye(3).double()[torch.tensor(names)]


def test_a_view_by_hand():
    """Node 1 is dropped: its four edges weigh 0 and its row stays. Node 2 is masked: its edges stay, its row goes."""
    graph = graph_of_lengths((4,), window=1)
    nodes, token = inputs_of(graph), torch.arange(8).double()
    found = view(nodes, graph, chosen(KEEP, DROP, MASK, KEEP), token)
    touched = (graph.edge_index == 1).any(0)
    assert torch.equal(found.weights, (~touched).double()) and touched.sum() == 4
    assert torch.equal(found.nodes[[0, 1, 3]], nodes[[0, 1, 3]]) and torch.equal(found.nodes[2], token)
    assert found.anchors is None


def test_equal_choices_are_penalised_by_1_and_opposite_ones_by_0():
    graph = graph_of_lengths((2, 1))
    one = kept(chosen(KEEP, DROP, MASK))
    assert one.tolist() == [1, 0, 1]
    assert similarity(one, one, graph) == 1 and similarity(one, 1 - one, graph) == 0
    half = kept(chosen(KEEP, KEEP, KEEP))  # differs at one of dialogue 0's two nodes
    assert similarity(one, half, graph).item() == pytest.approx((0.5 + 1) / 2)


def test_the_penalty_is_disagreements_share_of_it():
    graph, settings = graph_of_lengths(), AutoGCLSettings(disagreement=0.3, keep=1e4)
    views = built(settings).views(inputs_of(graph), graph, host_of(graph, settings))
    assert views.penalty.item() == pytest.approx(0.3)


def test_the_losss_gradient_reaches_generators_and_tokens_but_not_the_nodes_through_them():
    graph, settings = graph_of_lengths((9, 14)), AutoGCLSettings(keep=0.0)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    views = contrast.views(nodes, graph, host)
    loss = host.compare(encoded(views.first, graph, host), encoded(views.second, graph, host))
    loss.backward()
    for name, weight in contrast.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
    logits = contrast.generators[0](nodes.requires_grad_(), graph)
    assert torch.autograd.grad(logits.sum(), nodes, allow_unused=True)[0] is None


def test_the_gradient_reaches_a_generator_through_edges_weights_alone():
    """With the token equal to every row, nothing but the weights depends on the choice."""
    graph, settings = graph_of_lengths((6,)), AutoGCLSettings(keep=0.0)
    contrast, host = built(settings), host_of(graph, settings)
    nodes = inputs_of(graph)
    choice = draw(contrast.generators[0](nodes, graph))
    weights = view(nodes, graph, choice, contrast.tokens[0]).weights
    host.compare(host.encoder(nodes, graph), host.encoder(nodes, graph, weights)).backward()
    assert contrast.generators[0].logits.weight.grad.abs().sum() > 0


def test_generators_share_nothing_and_start_near_the_original():
    contrast = built(AutoGCLSettings())
    one, other = ({id(weight) for weight in each.parameters()} for each in contrast.generators)
    assert not one & other
    graph = graph_of_lengths((40,))
    for generator in contrast.generators:
        assert generator(0 * inputs_of(graph), graph)[0].tolist() == [2, 0, 0]


def test_a_dialogues_logits_do_not_depend_on_its_batch():
    graph, contrast = graph_of_lengths(), built(AutoGCLSettings())
    nodes = inputs_of(graph)
    logits = contrast.generators[0](nodes, graph)
    for row in range(4):
        alone, own = dialogue_of(graph, row)
        torch.testing.assert_close(contrast.generators[0](nodes[own], alone), logits[own])


def test_training_lowers_loss_and_penalty_together():
    graph, settings = graph_of_lengths((9, 14)), AutoGCLSettings(disagreement=1.0)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    optimizer = torch.optim.Adam(contrast.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_of(contrast.views(nodes, graph, host), graph, host)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < losses[0] - 0.5
