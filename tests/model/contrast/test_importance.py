from functools import partial

import pytest
import torch

from bigfusion.model.contrast import importance
from bigfusion.model.contrast.importance import dual_importance, min_max, random_importance
from bigfusion.model.contrast.information import gaussian_information, histogram_information
from bigfusion.model.layers.graph import Graph, Relations, build_graph
from bigfusion.model.layers.rgcn import RelationalEncoder
from tests.helpers.slow_forms import graph_of, rows, slow_edges


def slow_importance(nodes, mask, speakers, graph, encoder, *, noises, information=gaussian_information):
    """Eqs. 9, 10 as they stand: two whole graphs and two whole sub-graphs for every node and every draw.

    Returns both scores of each node, that of the whole dialogue and that of its surroundings. Shape: (2, V)
    """

    def normalised(kept):
        low, high = min(kept), max(kept)
        return [(high - value) / (high - low) if high > low else 0.0 for value in kept]

    def survives(nodes, speaker, changed):
        row = torch.ones(1, len(nodes), dtype=torch.bool)
        part = graph_of(slow_edges(row, speaker.unsqueeze(0), graph.window, graph.relations), graph, speaker)
        original = encoder(nodes, part).double().mean(0, keepdim=True)
        kept = 0.0
        for noise in noises:
            perturbed = nodes.clone()
            perturbed[changed] += noise
            kept += information(encoder(perturbed, part).double().mean(0, keepdim=True), original).item()
        return kept / len(noises)

    scores, first = [[], []], 0
    for row in range(len(mask)):
        size = int(mask[row].sum())
        of_dialogue, speaker = nodes[first : first + size], speakers[row, :size]
        whole, own = [], []
        for node in range(size):
            whole.append(survives(of_dialogue, speaker, node))
            low = max(0, node - graph.window)
            around = slice(low, node + graph.window + 1)
            own.append(survives(of_dialogue[around], speaker[around], node - low))
        if size:
            scores[0] += normalised(whole)
            scores[1] += normalised(own)
        first += size
    return torch.tensor(scores, dtype=torch.float64)


def case(lengths, *, window=2, layers=1, relations=None, speakers=3, width=16, dtype=torch.float64):
    mask, speaker = rows(lengths, speakers, padded=1)
    graph = build_graph(mask, speaker, window, relations or Relations())
    encoder = RelationalEncoder(width, graph.relations.count, layers).to(dtype)
    for convolution in encoder.convolutions:
        torch.nn.init.normal_(convolution.bias, std=0.3)
    return mask, speaker, graph, encoder, torch.randn(len(graph.dialogue), width, dtype=dtype)


@torch.no_grad()
def compare(lengths, *, gammas=(0.3,), draws=1, information=gaussian_information, tolerance=1e-9, **options):
    """With the slow form, for each gamma. Returns the scores that were found."""
    torch.manual_seed(0)
    mask, speaker, graph, encoder, nodes = case(lengths, **options)
    torch.manual_seed(0)
    noises = 0.7 * torch.randn(draws, nodes.shape[1], dtype=nodes.dtype)
    whole, own = slow_importance(nodes, mask, speaker, graph, encoder, noises=noises, information=information)
    found = []
    for gamma in gammas:
        torch.manual_seed(0)
        fast = dual_importance(nodes, graph, encoder, gamma=gamma, noise=0.7, draws=draws, information=information)
        torch.testing.assert_close(fast, gamma * whole + (1 - gamma) * own, atol=tolerance, rtol=0)
        found.append(fast)
    return found


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("relations", [Relations(), Relations("pairs", 3)])
def test_equals_n_whole_graphs(layers, relations):
    for scores in compare([9, 1, 0, 4, 17], gammas=(0.0, 0.3, 1.0), layers=layers, relations=relations):
        assert scores.min() == 0 and scores.max() > 0.5


@pytest.mark.parametrize(("window", "layers"), [(0, 1), (0, 2), (1, 2), (4, 1), (6, 1), (30, 1), (30, 2)])
def test_any_window(window, layers):
    compare([11, 2], window=window, layers=layers, gammas=(0.5,))


@pytest.mark.parametrize("layers", [1, 2])
def test_single_precision_is_enough(layers):
    compare([24, 7], window=6, layers=layers, width=64, dtype=torch.float32, tolerance=1e-5)


def test_draws_are_averaged_before_the_normalisation():
    compare([12, 5], draws=5)


def test_histogram_estimator():
    compare([10, 6], width=64, information=partial(histogram_information, bins=6))


@pytest.mark.parametrize("layers", [1, 2])
def test_chunks_make_no_difference(layers, monkeypatch):
    torch.manual_seed(0)
    _, _, graph, encoder, nodes = case([15, 8], layers=layers)
    found = []
    for chunk in (importance.CHUNK, 3000):
        monkeypatch.setattr(importance, "CHUNK", chunk)
        torch.manual_seed(0)
        found.append(dual_importance(nodes, graph, encoder, gamma=0.3, noise=0.7))
    torch.testing.assert_close(found[1], found[0], atol=1e-12, rtol=0)


def test_a_dialogues_scores_do_not_depend_on_the_others():
    torch.manual_seed(1)
    _, _, graph, encoder, nodes = case([7, 9])
    torch.manual_seed(2)
    together = dual_importance(nodes, graph, encoder, gamma=0.3, noise=1.0)
    second = build_graph(torch.ones(1, 9, dtype=torch.bool), graph.speaker[None, 7:], 2, Relations())
    torch.manual_seed(2)
    alone = dual_importance(nodes[7:], second, encoder, gamma=0.3, noise=1.0)
    torch.testing.assert_close(together[7:], alone, atol=1e-12, rtol=0)


def test_local_and_global_differ_even_in_the_middle():
    """A sub-graph that read whole-graph outputs would perturb as the global part does."""
    _, _, graph, encoder, nodes = case([30])
    local, whole = (dual_importance(nodes, graph, encoder, gamma=gamma, noise=1.0) for gamma in (0.0, 1.0))
    middle = slice(8, 22)
    assert torch.corrcoef(torch.stack([local[middle], whole[middle]]))[0, 1] < 0.99


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_nodes_that_cannot_be_told_apart_get_zeros(gamma):
    """Equal inputs, one speaker, everyone beside everyone: all scores are the same."""
    torch.manual_seed(0)
    encoder = RelationalEncoder(16, 4, layers=1)
    graph = build_graph(torch.ones(1, 2, dtype=torch.bool), torch.zeros(1, 2, dtype=torch.long), 5, Relations())
    with torch.no_grad():
        encoder.convolutions[0].relation_weight[1] = encoder.convolutions[0].relation_weight[0]  # earlier = later
    scores = dual_importance(torch.randn(1, 16).expand(2, 16), graph, encoder, gamma=gamma, noise=1.0)
    assert scores.tolist() == [0, 0]


def test_dead_units_and_an_empty_batch_are_finite():
    _, _, graph, encoder, nodes = case([5, 1])
    for convolution in encoder.convolutions:
        torch.nn.init.constant_(convolution.bias, -1e6)
    assert dual_importance(nodes, graph, encoder, gamma=0.5, noise=1.0).tolist() == 6 * [0]
    empty = build_graph(torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.long), 2, Relations())
    assert dual_importance(nodes[:0], empty, encoder, gamma=0.5, noise=1.0).shape == (0,)


def test_no_gradient_and_the_default_generator():
    _, _, graph, encoder, nodes = case([8])
    nodes.requires_grad_()
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(dual_importance(nodes, graph, encoder, gamma=0.3, noise=1.0))
    assert not draws[0].requires_grad
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_ten_thousand_nodes_in_bounded_memory(monkeypatch):
    largest = 0
    change = importance._change

    def watched(before, *rest):
        nonlocal largest
        largest = max(largest, before[0].numel())
        return change(before, *rest)

    monkeypatch.setattr(importance, "_change", watched)
    _, _, graph, encoder, nodes = case([10_000], window=6, width=32, dtype=torch.float32)
    scores = dual_importance(nodes, graph, encoder, gamma=0.3, noise=1.0)
    assert scores.isfinite().all() and scores.min() >= 0 and scores.max() <= 1 and scores.std() > 0.01
    assert largest <= importance.CHUNK


def graph_with(sizes: list[int]) -> Graph:
    mask, speakers = rows(sizes)
    return build_graph(mask, speakers, 1, Relations())


def test_min_max_by_hand():
    scores = torch.tensor([3.0, 1.0, 2.0, 5.0, 5.0, 7.0], dtype=torch.float64)
    assert min_max(scores, graph_with([3, 0, 2, 1])).tolist() == [1, 0, 0.5, 0, 0, 0]


def test_min_max_takes_rounding_for_equality():
    scores = torch.tensor([5.0, 5.0 + 1e-12, 5.0], dtype=torch.float64)
    assert min_max(scores, graph_with([3])).tolist() == [0, 0, 0]


def test_random_importance_is_uniform():
    torch.manual_seed(0)
    scores = random_importance(graph_with([2000]))
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores.mean().item() == pytest.approx(0.5, abs=0.03)
