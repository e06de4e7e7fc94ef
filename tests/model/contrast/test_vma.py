import pytest
import torch
from torch.nn.functional import cosine_similarity

from bigfusion.model.contrast.losses import contrastive_loss
from bigfusion.model.contrast.vma import VMA, alike_by_features, alike_by_kernel, kernel
from bigfusion.model.contrast_settings.vma import VMASettings
from tests.helpers.contrast_suite import (
    LENGTHS,
    ContrastSuite,
    built,
    dialogue_of,
    encoded,
    graph_of_lengths,
    host_of,
    inputs_of,
    loss_of,
)


class TestVMA(ContrastSuite):
    settings = VMASettings()
    nothing = VMASettings(rate=0)


class TestVMAByFeatures(ContrastSuite):
    settings = VMASettings(similar="features", alike=4)


def test_the_kernel_of_a_path_of_three_by_hand():
    expected = torch.tensor([[5, 2, 1], [2, 4, 2], [1, 2, 5]]).double() / 8
    mask = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(kernel(mask, 1)[0, :3, :3], expected)


def test_the_nearest_by_kernel_of_node_5_of_20():
    """An artefact of the window's end that the page of facts computes: 5, 0, 1, 2."""
    found = alike_by_kernel(graph_of_lengths((20,), window=6), 4)
    assert found[0, 5].nonzero()[:, 0].tolist() == [0, 1, 2, 5]


@pytest.mark.parametrize(("lengths", "window"), [((9, 1, 2, 14), 3), ((90, 40), 2), ((33, 34, 120), 1)])
def test_long_dialogues_equal_the_whole_kernel(lengths, window):
    graph = graph_of_lengths(lengths, window=window)
    found = alike_by_kernel(graph, 3)
    for row, length in enumerate(lengths):
        place = torch.arange(length)
        adjacent = ((place.unsqueeze(1) - place).abs() <= window).double()
        whole = torch.linalg.inv(torch.eye(length).double() + torch.diag(adjacent.sum(1)) - adjacent)
        own = found[row, :length, :length]
        assert (own.sum(1) == min(3, length)).all() and own.diagonal().all()
        assert not found[row, :length, length:].any() and not found[row, length:].any()
        least = torch.where(own, whole, torch.inf).amin(1)
        most = torch.where(own, -torch.inf, whole).amax(1)
        assert (least >= most - 1e-6).all()  # nobody left out is more similar than one chosen


def test_the_nearest_by_features_are_the_highest_cosines():
    graph = graph_of_lengths(LENGTHS)
    nodes = inputs_of(graph)
    found = alike_by_features(nodes, graph, 3)
    for row, length in enumerate(LENGTHS):
        own = nodes[graph.dialogue == row]
        cosines = cosine_similarity(own.unsqueeze(1), own.unsqueeze(0), dim=2)
        for node in range(length):
            expected = cosines[node].topk(min(3, length)).indices
            assert found[row, node].nonzero()[:, 0].tolist() == sorted(expected.tolist())


def test_one_positive_and_all_masked_is_the_networks_own_loss():
    graph, settings = graph_of_lengths(), VMASettings(alike=1, rate=1.0, temperature=0.5)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    views = contrast.views(nodes, graph, host)
    assert views.positives is None and views.first.anchors.all()
    first, second = encoded(views.first, graph, host), encoded(views.second, graph, host)
    torch.testing.assert_close(loss_of(views, graph, host), host.compare(first, second))


def test_only_masked_nodes_are_anchors_and_candidates():
    """The loss is that of the masked nodes alone, positives among them."""
    graph, settings = graph_of_lengths((10,)), VMASettings(alike=4)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    views = contrast.views(nodes, graph, host)
    masked = views.first.anchors
    assert masked.sum() == 5 and torch.equal(masked, views.second.anchors)
    first, second = (encoded(view, graph, host)[masked].unsqueeze(0) for view in (views.first, views.second))
    among = views.positives[:, masked][:, :, masked]
    expected = contrastive_loss(first, second, torch.ones(1, 5, dtype=torch.bool), 1.0, among)
    torch.testing.assert_close(loss_of(views, graph, host), expected)


def test_masked_rows_are_the_token_and_the_others_bit_equal():
    graph, settings = graph_of_lengths(), VMASettings(rate=0.3)
    contrast, nodes, host = built(settings), inputs_of(graph), host_of(graph, settings)
    torch.nn.init.normal_(contrast.token)
    views = contrast.views(nodes, graph, host)
    masked = views.first.anchors
    assert torch.bincount(graph.dialogue[masked], minlength=4).tolist() == [2, 0, 0, 4]  # floor(0.3 n)
    assert torch.equal(views.first.nodes[~masked], nodes[~masked])
    assert torch.equal(views.first.nodes[masked], contrast.token.expand(6, -1))
    assert torch.equal(views.second.nodes, nodes)
    assert views.first.weights is None and views.second.weights is None  # None: all 1


def test_the_target_follows_without_gradient():
    graph, settings = graph_of_lengths(), VMASettings(momentum=0.9)
    contrast, nodes, host = built(settings), inputs_of(graph).requires_grad_(), host_of(graph, settings)
    assert isinstance(contrast, VMA)
    views = contrast.views(nodes, graph, host)
    start = [weight.clone() for weight in contrast.target.parameters()]
    for weight, online in zip(start, host.encoder.parameters(), strict=True):
        assert torch.equal(weight, online)
    assert not encoded(views.second, graph, host).requires_grad
    loss_of(views, graph, host).backward()
    assert contrast.token.grad.abs().sum() > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in contrast.target.parameters())
    with torch.no_grad():
        for online in host.encoder.parameters():
            online.add_(1.0)
    contrast.after_step(host.encoder)
    for before, online, weight in zip(start, host.encoder.parameters(), contrast.target.parameters(), strict=True):
        torch.testing.assert_close(weight.data, 0.9 * before + 0.1 * online.data)
    contrast.views(nodes, graph, host)  # does not start again
    for online, weight in zip(host.encoder.parameters(), contrast.target.parameters(), strict=True):
        assert not torch.allclose(weight, online)


@pytest.mark.parametrize("similar", ["kernel", "features"])
def test_a_dialogues_positives_do_not_depend_on_its_batch(similar):
    graph = graph_of_lengths(LENGTHS)
    nodes = inputs_of(graph)

    def alike(nodes, graph):
        return alike_by_kernel(graph, 3) if similar == "kernel" else alike_by_features(nodes, graph, 3)

    together = alike(nodes, graph)
    for row, length in enumerate(LENGTHS):
        alone, own = dialogue_of(graph, row)
        assert torch.equal(alike(nodes[own], alone)[0], together[row, :length, :length])
        assert not together[row, :, length:].any()
