"""Dual node importance: how much of a dialogue, and of its surroundings, a node's perturbation destroys (Eqs. 9, 10).

A node's input is moved by Gaussian noise, one draw for all nodes, so that scores compare. The embedding of a graph is
the mean of its nodes after the relational encoder. The less information I(h', h) survives between the embeddings of the
perturbed graph and of the original, the more important the node.

Exact, and linear in the number of nodes: through L convolutions a node reaches only those within L windows, and its own
sub-graph is small. So the surroundings of each node become a small dense graph of K places, many of them at a time, and
only the changes of the layers' outputs are followed. Memory is bounded by taking the nodes in chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bigfusion.model.contrast.information import Information, gaussian_information
from bigfusion.model.layers.graph import Graph
from bigfusion.model.layers.rgcn import RelationalConvolution, RelationalEncoder

CHUNK = 2**22
"""The approximate number of elements of the largest intermediate tensor (16 MiB in float32)."""

CONSTANT = 1e-9
"""Scores within a dialogue that differ by less than this share of their size differ only by rounding."""


@torch.no_grad()
def dual_importance(
    nodes: Tensor,
    graph: Graph,
    encoder: RelationalEncoder,
    *,
    gamma: float,
    noise: float,
    draws: int = 1,
    information: Information = gaussian_information,
) -> Tensor:
    """I(v) = gamma I_G + (1 - gamma) I_L, each min-max normalised within its dialogue (Eq. 10); no gradient flows.

    I_G compares means of the whole dialogue, I_L means of the node's sub-graph: the nodes within the graph's window of
    it and the edges among those, as a graph of its own (Eq. 9). ``noise`` is the perturbation's standard deviation; the
    information of ``draws`` draws is averaged. ``gamma`` = 1 or 0 spends nothing on the part without weight.

    Shapes: nodes (V, D) -> (V,) float64 from 0 to 1.
    """
    convolutions = encoder.convolutions
    with torch.autocast(nodes.device.type, enabled=False):
        nodes = nodes.to(convolutions[0].bias.dtype)
        noises = noise * torch.randn(draws, nodes.shape[1], dtype=nodes.dtype, device=nodes.device)
        probe = _Probe(convolutions, noises, information)
        scores = torch.zeros(len(nodes), dtype=torch.float64, device=nodes.device)
        if gamma > 0:
            scores += gamma * min_max(-_global_information(nodes, graph, probe), graph)
        if gamma < 1:
            scores += (1 - gamma) * min_max(-_local_information(nodes, graph, probe), graph)
    return scores


def random_importance(graph: Graph) -> Tensor:
    """Scores that mean nothing: the ablation. Shape: (V,) float64."""
    return torch.rand(len(graph.dialogue), dtype=torch.float64, device=graph.dialogue.device)


def min_max(scores: Tensor, graph: Graph) -> Tensor:
    """Scores from 0 to 1 within each dialogue; zeros where they do not differ. Shapes: (V,) -> (V,)."""
    dialogues = len(graph.sizes)
    low = scores.new_full((dialogues,), math.inf).scatter_reduce(0, graph.dialogue, scores, "amin")
    high = scores.new_full((dialogues,), -math.inf).scatter_reduce(0, graph.dialogue, scores, "amax")
    differs = high - low > CONSTANT * torch.maximum(low.abs(), high.abs())  # False in a dialogue without nodes
    low, span = low[graph.dialogue], torch.where(differs, high - low, math.inf)[graph.dialogue]
    return (scores - low) / span


@dataclass(frozen=True)
class _Probe:
    """What is compared how: the encoder's layers, the noises (draws, D) and the estimator of information."""

    convolutions: list[RelationalConvolution]
    noises: Tensor
    information: Information


def _global_information(nodes: Tensor, graph: Graph, probe: _Probe) -> Tensor:
    """I_G(h'_H, h_H) with each node as the perturbed one. Shape: (V,) float64."""
    charges, outputs = [], nodes
    for convolution in probe.convolutions:
        charges.append(convolution(outputs, graph.edge_index, graph.relation))  # (V, D), before the ReLU
        outputs = charges[-1].relu()
    total = torch.zeros(len(graph.sizes), nodes.shape[1], dtype=torch.float64, device=nodes.device)
    total.index_add_(0, graph.dialogue, outputs.double())  # (B, D)
    degree = _degrees(graph)

    survives = []
    for around in _surroundings(graph, nodes, reach=graph.window * len(probe.convolutions)):
        dialogue = graph.dialogue[around.centre]
        mean = around.edges / degree[around.place].clamp(min=1).unsqueeze(2)  # means over the whole graph's neighbours
        before = [charge[around.place] for charge in charges]
        embedding = _Embedding(total[dialogue], graph.sizes[dialogue].unsqueeze(1))
        survives.append(_surviving(embedding, before, mean, around.kinds, probe))
    return torch.cat(survives)


def _local_information(nodes: Tensor, graph: Graph, probe: _Probe) -> Tensor:
    """I_L(h'_S, h_S) with each node as the perturbed one, in its own sub-graph. Shape: (V,) float64."""
    survives = []
    for around in _surroundings(graph, nodes, reach=graph.window):
        mean = around.edges / around.edges.sum(2).clamp(min=1).unsqueeze(2)  # means over neighbours in the sub-graph
        before = _sub_graph_charges(nodes, around, mean, probe.convolutions)
        outputs = torch.where(around.real.unsqueeze(-1), before[-1].relu(), 0)  # (C, K, D)
        embedding = _Embedding(outputs.sum(1, dtype=torch.float64), around.real.sum(1, keepdim=True))
        survives.append(_surviving(embedding, before, mean, around.kinds, probe))
    return torch.cat(survives)


@dataclass(frozen=True)
class _Surroundings:
    """The nodes around each of C consecutive centres: dense graphs of K = 2 reach + 1 places, the centre in the middle.

    Shapes: ``centre`` (C,) nodes; ``place`` (C, K) nodes, of no meaning where the dialogue does not reach, which
    ``real`` (C, K) says; ``kinds`` (R,) the relations that occur; ``edges`` (C, K, K, R) 1 where an edge of that kind
    leads to the first place from the second. ``within`` holds all places.
    """

    centre: Tensor
    place: Tensor
    real: Tensor
    kinds: Tensor
    edges: Tensor
    within: slice


def _surroundings(graph: Graph, nodes: Tensor, reach: int) -> Iterator[_Surroundings]:
    """The surroundings of every node, a chunk of nodes at a time."""
    kinds = _kinds(graph)
    offset = torch.arange(-reach, reach + 1, device=nodes.device)  # (K,)
    gap = offset - offset.unsqueeze(1)  # (K, K): the source's place less the target's
    joined = (gap != 0) & (gap.abs() <= graph.window)

    elements = len(offset) * max(1, len(kinds)) * (len(offset) + nodes.shape[1])  # of one centre
    step = max(1, CHUNK // elements)
    for start in range(0, max(1, len(nodes)), step):
        centre = torch.arange(start, min(start + step, len(nodes)), device=nodes.device)
        place = centre.unsqueeze(1) + offset
        real = (place >= 0) & (place < len(nodes))
        place = place.clamp(0, len(nodes) - 1)
        real &= graph.dialogue[place] == graph.dialogue[centre].unsqueeze(1)
        speaker = graph.speaker[place]
        relation = graph.relations.of(speaker.unsqueeze(1), speaker.unsqueeze(2), later=gap > 0)  # (C, K, K)
        exists = joined & real.unsqueeze(1) & real.unsqueeze(2)
        edges = ((relation.unsqueeze(-1) == kinds) & exists.unsqueeze(-1)).to(nodes.dtype)
        yield _Surroundings(centre, place, real, kinds, edges, slice(max(0, start - reach), start + step + reach))


def _kinds(graph: Graph) -> Tensor:
    """The relations that occur; of COGMEN's 2 P^2 a batch has few. Shape: (R,)."""
    return torch.bincount(graph.relation).nonzero()[:, 0]


def _degrees(graph: Graph) -> Tensor:
    """Each node's incoming edges of each relation that occurs. Shape: (V, R)."""
    count, nodes = graph.relations.count, len(graph.dialogue)
    slot = graph.edge_index[1] * count + graph.relation
    return torch.bincount(slot, minlength=nodes * count).view(nodes, count)[:, _kinds(graph)]


def _sub_graph_charges(
    nodes: Tensor, around: _Surroundings, mean: Tensor, convolutions: list[RelationalConvolution]
) -> list[Tensor]:
    """Every layer's output before its ReLU, each sub-graph on its own. Shapes: (C, K, D) each."""
    first, *later = convolutions
    place = around.place - around.within.start
    own, messages = _mapped(nodes[around.within], around.kinds, first)  # once for all sub-graphs that share a node
    charges = [_gathered(own[place], messages[place], mean) + first.bias]
    for convolution in later:
        charges.append(_gathered(*_mapped(charges[-1].relu(), around.kinds, convolution), mean) + convolution.bias)
    return charges


def _mapped(values: Tensor, kinds: Tensor, convolution: RelationalConvolution) -> tuple[Tensor, Tensor]:
    """Values under the self weight and under each relation's. Shapes: (..., D) -> (..., D), (..., R, D)."""
    weight = convolution.relation_weight[kinds]  # (R, D, D)
    messages = values @ weight.transpose(0, 1).flatten(1)  # (..., D) @ (D, R D)
    return values @ convolution.self_weight, messages.view(*values.shape[:-1], len(kinds), weight.shape[2])


def _gathered(own: Tensor, messages: Tensor, mean: Tensor) -> Tensor:
    """What each place gets. Shapes: (C, K, D), (C, K, R, D), (C, K, K, R) -> (C, K, D)."""
    return torch.baddbmm(own, mean.flatten(2), messages.flatten(1, 2))


@dataclass(frozen=True)
class _Embedding:
    """Mean of a graph's nodes, as their sum and number. Shapes: (C, D) float64, (C, 1)."""

    total: Tensor
    size: Tensor


def _surviving(embedding: _Embedding, before: list[Tensor], mean: Tensor, kinds: Tensor, probe: _Probe) -> Tensor:
    """I(h', h) of C graphs, each perturbed at its centre, draws averaged. Shape: (C,) float64."""
    original = embedding.total / embedding.size
    survives = torch.zeros_like(original[:, 0])
    for noise in probe.noises:
        change = _change(before, mean, kinds, probe.convolutions, noise).sum(1)  # (C, D)
        survives += probe.information((embedding.total + change) / embedding.size, original)
    return survives / len(probe.noises)


def _change(
    before: list[Tensor], mean: Tensor, kinds: Tensor, convolutions: list[RelationalConvolution], noise: Tensor
) -> Tensor:
    """How the encoder's output changes at each place when the centre's input moves by ``noise``. Shape: (C, K, D)."""
    first, *later = convolutions
    centre = mean.shape[1] // 2
    own, messages = _mapped(noise, kinds, first)  # (D,), (R, D)
    pushed = mean[:, :, centre] @ messages  # (C, K, R) @ (R, D)
    pushed[:, centre] += own
    change = (before[0] + pushed).relu() - before[0].relu()
    for convolution, charge in zip(later, before[1:], strict=True):
        pushed = _gathered(*_mapped(change, kinds, convolution), mean)
        change = (charge + pushed).relu() - charge.relu()
    return change
