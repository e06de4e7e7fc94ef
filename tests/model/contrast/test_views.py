import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.model.contrast.views import least_important, view_weights
from bigfusion.model.layers.graph import Relations, build_graph
from tests.helpers.slow_forms import rows


def graph_with(lengths, window=1):
    mask, speakers = rows(lengths)
    return build_graph(mask, speakers, window, Relations())


def test_hand_computed():
    """Of 5 nodes the share 0.4 takes two, the edges at nodes 1 and 4."""
    graph = graph_with([5])
    weights = view_weights(torch.tensor([0.9, 0.1, 0.5, 0.7, 0.2]), graph, 0.4, 0.5)
    by_edge = {tuple(edge): weight for edge, weight in zip(graph.edge_index.T.tolist(), weights.tolist(), strict=True)}
    lowered = {(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)}
    assert by_edge == dict.fromkeys(lowered, 0.5) | {(2, 3): 1.0, (3, 2): 1.0}


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(0, 100), st.integers(0, 2**31))
def test_each_dialogue_gives_its_own_share(lengths, percent, seed):
    torch.manual_seed(seed)
    graph = graph_with(lengths)
    importance = torch.randint(0, 4, (sum(lengths),)).double()  # ties on purpose
    chosen = least_important(importance, graph, percent / 100)
    for row, length in enumerate(lengths):
        scores = importance[graph.dialogue == row].tolist()
        ranked = sorted(range(length), key=lambda place: (scores[place], place))
        expected = set(ranked[: length * percent // 100])
        assert set(chosen[graph.dialogue == row].nonzero()[:, 0].tolist()) == expected


@pytest.mark.parametrize(("rho", "size", "count"), [(0.29, 100, 29), (0.7, 10, 7), (0.4, 1, 0), (0.3, 9, 2), (1, 4, 4)])
def test_the_share_is_rounded_down_but_not_by_floating_point(rho, size, count):
    assert least_important(torch.rand(size), graph_with([size]), rho).sum() == count
    assert count == math.floor(round(rho * size, 9))


def test_equals_are_taken_from_the_front():
    assert least_important(torch.zeros(6), graph_with([6]), 0.5).tolist() == 3 * [True] + 3 * [False]


def test_the_larger_share_holds_the_smaller():
    graph, importance = graph_with([30, 7]), torch.rand(37)
    larger, smaller = (least_important(importance, graph, rho) for rho in (0.4, 0.2))
    assert (larger | ~smaller).all() and larger.sum() > smaller.sum()


def test_a_share_of_nothing_and_of_everything():
    graph, importance = graph_with([6, 1]), torch.rand(7)
    assert (view_weights(importance, graph, 0.0, 0.5) == 1).all()
    assert (view_weights(importance, graph, 1.0, 0.0) == 0).all()
