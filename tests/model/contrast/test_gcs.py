import pytest
import torch

from bigfusion.model.contrast.gcs import GCS, contribution, dialogue_losses, saliency
from bigfusion.model.contrast.importance import min_max
from bigfusion.model.contrast.losses import contrastive_loss
from bigfusion.model.contrast_settings.gcs import GCSSettings
from tests.helpers.contrast_suite import (
    ContrastSuite,
    built,
    dialogue_of,
    graph_of_lengths,
    host_of,
    inputs_of,
)


class TestGCS(ContrastSuite):
    settings = GCSSettings()
    nothing = GCSSettings(keep=1.0)


class TestGCSWithoutTheNegative(ContrastSuite):
    settings = GCSSettings(negative=0.0, rounds=1)


@pytest.fixture
def found(monkeypatch):
    """Saliencies of three nodes, 0, 0.25 and 1; window 1: edges 0-1 and 1-2 both ways."""
    graph, nodes = graph_of_lengths((3,) * 1000, window=1), torch.zeros(3000, 8).double()
    of_nodes = min_max(torch.tensor([0.0, 1.0, 4.0]).double().repeat(1000), graph)
    assert of_nodes[:3].tolist() == [0, 0.25, 1]
    of_edges = of_nodes[graph.edge_index].mean(0)
    monkeypatch.setattr("bigfusion.model.contrast.gcs.saliency", lambda *arguments: (of_nodes, of_edges))
    settings = GCSSettings(threshold=0.3)
    torch.manual_seed(0)
    return graph, built(settings).views(nodes, graph, host_of(graph_of_lengths(), settings)), settings


def weights_by_edge(view, graph):
    """Shape: (1000, 4): 1 -> 0, 0 -> 1, 2 -> 1, 1 -> 2."""
    assert (graph.edge_index[:, :4] == torch.tensor([[1, 0, 2, 1], [0, 1, 1, 2]])).all()
    return view.weights.view(1000, 4)


def test_saliencies_0_1_4_by_hand(found):
    """Above 0.3: node 2 alone, and the edges 1-2 (0.625). Others stay half the time, node by node and edge by edge."""
    graph, views, _ = found
    for view in (views.first, views.second):
        weights = weights_by_edge(view, graph)
        assert torch.equal(weights[:, 2], weights[:, 3])  # salient: it stays whenever node 1 does
        assert weights[:, 2].mean().item() == pytest.approx(0.5, abs=0.04)
        for edge in (0, 1):  # two nodes and an edge
            assert weights[:, edge].mean().item() == pytest.approx(0.125, abs=0.03)
            assert (weights[:, edge] <= weights[:, 2]).all()
    assert not torch.equal(views.first.weights, views.second.weights)


def test_the_negative_view_holds_what_is_not_salient(monkeypatch):
    """Nodes 0, 1 and their edges stay; node 2 and its edges, salient, at 0.1 each."""
    graph = graph_of_lengths((3,) * 4000, window=1)
    of_nodes = torch.tensor([0.0, 0.25, 1.0]).double().repeat(4000)
    masks = of_nodes, of_nodes[graph.edge_index].mean(0)
    monkeypatch.setattr("bigfusion.model.contrast.gcs.saliency", lambda *arguments: masks)
    host, seen = host_of(graph_of_lengths(), GCSSettings(leak=0.3)), []
    encode = host.encoder.forward
    host.encoder.forward = lambda nodes, graph, weight=None: seen.append(weight) or encode(nodes, graph, weight)
    built(GCSSettings(leak=0.3)).views(torch.zeros(12000, 8).double(), graph, host)
    original, negative = seen
    assert original is None
    kept = negative.view(4000, 4)
    assert (kept[:, :2] == 1).all()
    assert kept[:, 2].mean().item() == pytest.approx(0.09, abs=0.02)
    assert kept[:, 3].mean().item() == pytest.approx(0.09, abs=0.02)


def test_what_is_salient_is_in_every_positive_view():
    graph, settings = graph_of_lengths((12, 5)), GCSSettings(threshold=0.9, negative=0.0)
    nodes, host, contrast = inputs_of(graph), host_of(graph, settings), built(settings)
    of_nodes, of_edges = saliency(nodes, graph, host.encoder, 3, 1.0)
    salient = of_nodes > 0.9
    both = salient[graph.edge_index].all(0) & (of_edges > 0.9)
    assert 0 < both.sum() < len(both)
    totals = torch.zeros(len(both)).double()
    for _ in range(80):
        views = contrast.views(nodes, graph, host)
        for view in (views.first, views.second):
            assert (view.weights[both] == 1).all()
            totals += view.weights
    certain = salient[graph.edge_index].double().sum(0) + (of_edges > 0.9)  # of two ends and the edge itself
    torch.testing.assert_close(totals / 160, 0.5 ** (3 - certain), atol=0.12, rtol=0)


def test_a_threshold_of_1_drops_half_of_everything():
    graph, settings = graph_of_lengths((30,) * 40), GCSSettings(threshold=1.0)
    nodes, host = inputs_of(graph), host_of(graph, settings)
    view = built(settings).views(nodes, graph, host).first
    assert view.weights.mean().item() == pytest.approx(0.125, abs=0.03)


def test_the_contribution_by_hand():
    """alpha_v = max(0, mean of g_v), c_v = alpha_v times the sum of h_v; g by finite differences."""
    graph = graph_of_lengths((4,))
    first, later = inputs_of(graph).abs(), inputs_of(graph, seed=6).abs()
    gradient = torch.zeros_like(later)
    for place in range(later.numel()):
        step = torch.zeros(later.numel()).double()
        step[place] = 1e-6
        step = step.view_as(later)
        up, down = (dialogue_losses(first, later + sign * step, graph, 0.5).sum() for sign in (1, -1))
        gradient.view(-1)[place] = (up - down) / 2e-6
    expected = gradient.mean(1).clamp(min=0) * later.sum(1)
    torch.testing.assert_close(contribution(later, first, graph, 0.5), expected, atol=1e-7, rtol=1e-5)
    assert expected.max() > 0


def test_rounds_only_add_and_equal_plain_rounds():
    graph = graph_of_lengths((9, 6))
    nodes, encoder = inputs_of(graph), host_of(graph, GCSSettings()).encoder
    source, target = graph.edge_index
    of_nodes, of_edges = torch.zeros(15).double(), torch.zeros(len(source)).double()
    first = encoder(nodes, graph).detach()
    before = (of_nodes, of_edges)
    for rounds in (1, 2, 3):
        encoded = encoder(nodes, graph, 1 - of_edges).detach()
        share = contribution(encoded, first if rounds > 1 else None, graph, 1.0)
        for row in range(2):
            own = graph.dialogue == row
            share[own] = (share[own] - share[own].min()) / (share[own].max() - share[own].min())
        of_nodes = torch.maximum(of_nodes, share)
        of_edges = torch.maximum(of_edges, (share[source] + share[target]) / 2)
        found = saliency(nodes, graph, encoder, rounds, 1.0)
        for mask, slow, old in zip(found, (of_nodes, of_edges), before, strict=True):
            torch.testing.assert_close(mask, slow)
            assert (mask >= old - 1e-12).all()
        before = found
    assert not torch.equal(of_nodes, saliency(nodes, graph, encoder, 1, 1.0)[0])


def test_a_silent_encoder_has_nothing_salient():
    graph = graph_of_lengths((5, 1))
    encoder = host_of(graph, GCSSettings()).encoder
    torch.nn.init.constant_(encoder.convolutions[0].bias, -1e6)
    for mask in saliency(inputs_of(graph), graph, encoder, 3, 1.0):
        assert (mask == 0).all()


def test_saliency_leaves_no_gradient_and_works_without_grad_mode():
    graph = graph_of_lengths()
    nodes, encoder = inputs_of(graph).requires_grad_(), host_of(graph, GCSSettings()).encoder
    expected = saliency(nodes, graph, encoder, 3, 1.0)
    assert nodes.grad is None and all(weight.grad is None for weight in encoder.parameters())
    assert not any(mask.requires_grad for mask in expected)
    with torch.no_grad():
        found = saliency(nodes, graph, encoder, 3, 1.0)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_dialogues_saliency_and_losses_do_not_depend_on_its_batch():
    graph = graph_of_lengths((9, 1, 2, 14))
    nodes, encoder = inputs_of(graph), host_of(graph, GCSSettings()).encoder
    of_nodes, of_edges = saliency(nodes, graph, encoder, 3, 1.0)
    losses = dialogue_losses(nodes, nodes.flip(1), graph, 0.5)
    for row in range(4):
        alone, own = dialogue_of(graph, row)
        found = saliency(nodes[own], alone, encoder, 3, 1.0)
        torch.testing.assert_close(found[0], of_nodes[own])
        torch.testing.assert_close(found[1], of_edges[own[graph.edge_index[1]]])
        mask = torch.ones(1, int(own.sum()), dtype=torch.bool)
        loss = contrastive_loss(nodes[own].unsqueeze(0), nodes[own].flip(1).unsqueeze(0), mask, 0.5)
        torch.testing.assert_close(losses[row], loss)


def test_the_penalty_pushes_the_negative_view_away():
    """-0.1 times the mean over dialogues of L_cl of the original and the negative view: with leak 1, the original."""
    graph, settings = graph_of_lengths((6, 3)), GCSSettings(leak=1.0)
    nodes, host = inputs_of(graph), host_of(graph, settings)
    original = host.encoder(nodes, graph)
    expected = -0.1 * dialogue_losses(original, original, graph, 1.0).mean()
    torch.testing.assert_close(built(settings).views(nodes, graph, host).penalty, expected)


def test_it_warms_up_on_dropped_edges():
    graph, settings = graph_of_lengths((20,)), GCSSettings(warmup=0.1, warmup_drop=0.25)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    assert isinstance(contrast, GCS)
    warming = []
    for epoch in range(1, 31):
        contrast.begin_epoch(epoch, 30)
        warming.append(contrast.warming)
    assert warming == [True] * 3 + [False] * 27
    contrast.begin_epoch(1, 30)
    views = contrast.views(nodes, graph, host)
    assert views.penalty is None and views.first.weights is None
    assert (views.second.weights == 0).sum() == 108 // 4
