import numpy as np
import pytest
import torch

from bigfusion.model.contrast.draws import edge_dialogue
from bigfusion.model.contrast.gca import (
    column_probabilities,
    edge_probabilities,
    eigenvector,
    probabilities,
    speaker_pagerank,
)
from bigfusion.model.contrast_settings.gca import GCASettings
from tests.helpers.contrast_suite import (
    ContrastSuite,
    built,
    dialogue_of,
    edges_of,
    graph_of_lengths,
    host_of,
    inputs_of,
)


class TestGCA(ContrastSuite):
    settings = GCASettings()
    nothing = GCASettings(edges=(0, 0), columns=(0, 0))


class TestGCAWithSpeakers(ContrastSuite):
    settings = GCASettings(centrality="speaker_pagerank")


def of_centralities(centralities, share, cap=0.7):
    scores = torch.tensor(centralities, dtype=torch.double).log()
    return probabilities(scores, torch.zeros(len(scores), dtype=torch.long), 1, share, cap)


@pytest.mark.parametrize(("share", "expected"), [(0.3, [0.6, 0.3, 0.0]), (0.4, [0.7, 0.4, 0.0]), (1.0, [0.7, 0.7, 0])])
def test_centralities_1_2_4_by_hand(share, expected):
    """(max - s) / (max - mean) of the logs is (2, 1, 0)."""
    found = of_centralities([1, 2, 4], share)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.double))


def test_the_mean_is_the_share_where_nothing_is_capped():
    found = of_centralities([1, 1.3, 2, 1.7, 1.1], 0.2, cap=1.0)
    assert found.mean().item() == pytest.approx(0.2)


def test_all_alike_have_the_share():
    assert of_centralities([3, 3, 3], 0.3).tolist() == pytest.approx([0.3] * 3)
    graph = graph_of_lengths((5, 2), window=6)  # complete graphs
    torch.testing.assert_close(edge_probabilities(graph, eigenvector(graph), 0.3, 0.7), torch.full((22,), 0.3).double())


@pytest.mark.parametrize(
    ("size", "window"), [(3, 1), (8, 6), (10, 6), (14, 6), (20, 4), (20, 6), (50, 6), (110, 6), (110, 4)]
)
def test_the_eigenvector_is_that_of_the_matrix(size, window):
    """Probabilities within 0.01 of those of LAPACK's eigenvector."""
    graph = graph_of_lengths((size, 4), window=window)
    place = np.arange(size)
    near = np.abs(place[:, None] - place) <= window
    exact = np.abs(np.linalg.eigh(near.astype(float) - np.eye(size))[1][:, -1])
    found = eigenvector(graph)[:size]
    assert found.sum().item() == pytest.approx(1)
    expected = torch.cat([torch.from_numpy(exact / exact.sum()), eigenvector(graph)[size:]])
    for share in (0.3, 0.4):
        own = edges_of(graph, 0)
        one, other = (edge_probabilities(graph, phi, share, 0.7)[own] for phi in (eigenvector(graph), expected))
        torch.testing.assert_close(one, other, atol=0.01, rtol=0)


def test_central_nodes_keep_their_edges():
    graph = graph_of_lengths((30,), window=3)
    phi = eigenvector(graph)
    found = edge_probabilities(graph, phi, 0.3, 0.7)
    order = phi[graph.edge_index[1]].argsort()
    assert (found[order].diff() <= 1e-12).all() and found[order[-1]] == 0
    assert found[graph.edge_index[1] == 0].max() > 0.5  # an end


def test_page_rank_by_hand():
    """Speakers A B A, window 2: only A's two turns are joined. They keep 1, B has 1 - 0.85."""
    graph = graph_of_lengths((3,), window=2)
    graph.speaker.copy_(torch.tensor([0, 1, 0]))
    torch.testing.assert_close(speaker_pagerank(graph), torch.tensor([1.0, 0.15, 1.0]).double(), atol=1e-6, rtol=0)
    graph = graph_of_lengths((3,), window=1)
    graph.speaker.zero_()  # a path: r_end = .15 + .85 r_mid / 2, r_mid = .15 + 2 .85 r_end
    middle = (0.15 + 1.7 * 0.15) / (1 - 0.85**2)
    end = 0.15 + 0.425 * middle
    torch.testing.assert_close(speaker_pagerank(graph), torch.tensor([end, middle, end]).double(), atol=1e-6, rtol=0)


def test_draws_follow_the_probabilities():
    settings = GCASettings(edges=(0.3, 0.4), columns=(0.2, 0.2))
    graph = graph_of_lengths((10,) * 2500, window=2)
    nodes = inputs_of(graph)[:10].repeat(2500, 1)
    phi = eigenvector(graph)
    edges, columns = edge_probabilities(graph, phi, 0.3, 0.7), column_probabilities(nodes, graph, phi, 0.2, 0.7)
    contrast = built(settings)
    view = contrast.views(nodes, graph, host_of(graph_of_lengths(), settings)).first
    gone = (1 - view.weights.view(2500, -1)).mean(0)
    torch.testing.assert_close(gone, edges.view(2500, -1)[0], atol=0.04, rtol=0)
    zero = (view.nodes.view(2500, 10, 8) == 0).double()
    assert torch.equal(zero.amin(1), zero.amax(1))  # the whole dialogue's column, or none of it
    torch.testing.assert_close(zero[:, 0].mean(0), columns[0], atol=0.04, rtol=0)


def test_a_column_of_zeros_changes_no_other():
    graph = graph_of_lengths((6, 3))
    phi, nodes = eigenvector(graph), inputs_of(graph)
    found = column_probabilities(nodes, graph, phi, 0.2, 0.7)
    with_zeros = torch.cat([nodes, torch.zeros(9, 2).double()], dim=1)
    more = column_probabilities(with_zeros, graph, phi, 0.2, 0.7)
    torch.testing.assert_close(more[:, :8], found)
    assert (more[:, 8:] == 0).all() and found.mean(1).tolist() == pytest.approx([0.2, 0.2], abs=0.03)
    assert (column_probabilities(0 * nodes, graph, phi, 0.2, 0.7) == 0).all()


def test_a_column_by_hand():
    """Two nodes, equally central: columns with sums of |x| 1, 2 and 4 are dropped with 2 p, p and 0."""
    graph = graph_of_lengths((2,))
    nodes = torch.tensor([[0.5, -1.0, 4.0], [-0.5, 1.0, 0.0]]).double()
    found = column_probabilities(nodes, graph, eigenvector(graph), 0.3, 0.7)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.3, 0.0]]).double())


@pytest.mark.parametrize("centrality", [eigenvector, speaker_pagerank])
def test_a_dialogues_probabilities_do_not_depend_on_its_batch(centrality):
    graph = graph_of_lengths((9, 1, 2, 14))
    nodes, phi = inputs_of(graph), centrality(graph)
    edges = edge_probabilities(graph, phi, 0.3, 0.7)
    columns = column_probabilities(nodes, graph, phi, 0.1, 0.7)
    for row in range(4):
        alone, own = dialogue_of(graph, row)
        torch.testing.assert_close(centrality(alone), phi[own])
        found = edge_probabilities(alone, centrality(alone), 0.3, 0.7)
        torch.testing.assert_close(found, edges[edge_dialogue(graph) == row])
        found = column_probabilities(nodes[own], alone, centrality(alone), 0.1, 0.7)
        torch.testing.assert_close(found[0], columns[row])
