"""GraphSmile: a matrix of 2n nodes for each pair of modalities, edge by edge, and shifts pair by pair."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, softplus

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.graphsmile import GraphSmile, OffsetAdjacency, PairGraph
from tests.helpers.plain.dialogue import edges, projected, read, rows


def adjacency(layer: OffsetAdjacency, length: int, like: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 of both modalities' nodes. Shape: (2n, 2n)."""
    weight = like.new_ones(2 * layer.window + 1) if layer.raw is None else softplus(layer.raw)
    pairs = list(edges(length, layer.window, layer.window))  # j -> i
    row = [target for _, target in pairs] + [length + source for source, _ in pairs]
    column = [length + source for source, _ in pairs] + [target for _, target in pairs]
    values = weight[[source - target + layer.window for source, target in pairs]]
    matrix = like.new_zeros(2 * length, 2 * length)
    matrix = matrix.index_put((torch.tensor(row), torch.tensor(column)), torch.cat([values, values]))
    root = torch.diag(matrix.sum(1) ** -0.5)
    return root @ matrix @ root


def crossed(graph: PairGraph, one: Tensor, other: Tensor) -> Tensor:
    """z of both modalities. Shapes: (n, H) twice -> (2n, H)."""
    near = adjacency(graph.adjacency, len(one), one)
    hidden = total = torch.cat([one, other])
    for hop, keep in zip(graph.hop, graph.keep, strict=True):
        hidden = hop(near @ hidden)
        total = total + graph.dropout(leaky_relu(keep(hidden)))
    return total


def shifts(network: GraphSmile, fused: Tensor) -> Tensor:
    """Linear([f_i; f_j]) of the pairs of each block, zeros beyond the dialogue. Shapes: (n, H) -> (n, w, 2)."""
    block, length = network.settings.block, len(fused)
    pairs, places = [], []
    for start in range(0, length, block):
        for first in range(start, min(start + block, length)):
            for column, second in enumerate(range(start, min(start + block, length))):
                pairs.append(torch.cat([fused[first], fused[second]]))
                places.append((first, column))
    found = fused.new_zeros(length, block, 2)
    row, column = torch.tensor(places).T
    return found.index_put((row, column), network.shift(torch.stack(pairs)))


def plain(network: GraphSmile, batch: Batch) -> Output:
    """Hops in each pair, and three heads."""
    inputs = projected(network.project, read(network, batch))
    states = {name: network.dropout(leaky_relu(own)) for name, own in inputs.items()}
    vectors: list[Tensor] = []
    for one, other in combinations(states, 2):
        vectors += crossed(network.pairs[f"{one}_{other}"], states[one], states[other]).chunk(2)
    fused = sum(leaky_relu(network.join(vector)) for vector in vectors) / len(vectors)
    parts = {"sentiment": network.sentiment(fused), "shift": shifts(network, fused)}
    return Output(rows(network.emotion(fused)), parts)
