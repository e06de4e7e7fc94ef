import torch

from bigfusion.model.contrast.draws import edge_dialogue, lowest, random_edges, random_nodes, row_mask, touches
from tests.helpers.contrast_suite import graph_of_lengths


def test_the_lowest_of_each_group_by_hand():
    """Half of four is two, half of three is one; of equals the earlier; the empty group has none."""
    scores, group = torch.tensor([3.0, 1.0, 5.0, 1.0, 2.0, 2.0, 0.5]), torch.tensor([0, 0, 2, 0, 2, 2, 0])
    assert lowest(scores, group, 3, 0.5).tolist() == [False, True, False, False, True, False, True]
    assert lowest(scores[:0], group[:0], 3, 0.5).shape == (0,)


def test_a_share_of_29_percent_of_100_is_29():
    assert lowest(torch.rand(100), torch.zeros(100, dtype=torch.long), 1, 0.29).sum() == 29


def test_nodes_and_edges_are_counted_within_dialogues():
    graph = graph_of_lengths((9, 1, 2, 14), window=3)
    assert torch.bincount(graph.dialogue[random_nodes(graph, 0.2)], minlength=4).tolist() == [1, 0, 0, 2]
    of_edges = torch.bincount(edge_dialogue(graph), minlength=4)
    assert of_edges.tolist() == [42, 0, 2, 72]  # 2 (w n - w (w + 1) / 2)
    dropped = torch.bincount(edge_dialogue(graph)[random_edges(graph, 0.2)], minlength=4)
    assert dropped.tolist() == [8, 0, 0, 14]


def test_the_edges_of_a_node_are_those_at_either_end():
    graph = graph_of_lengths((4,), window=1)
    chosen = torch.tensor([False, True, False, False])
    pairs = graph.edge_index[:, touches(chosen, graph)].T.tolist()
    assert sorted(map(tuple, pairs)) == [(0, 1), (1, 0), (1, 2), (2, 1)]


def test_rows_are_as_long_as_the_longest_dialogue():
    assert row_mask(graph_of_lengths((1, 3))).tolist() == [[True, False, False], [True, True, True]]
