"""What the plain forms share: one dialogue's utterances, and the maps that most networks begin with.

A plain form is a network's equations for one dialogue, with the very network's parameters: loops over utterances,
edges, relations, parties and windows, as the code published with these papers runs them. Linear maps, recurrent layers,
whole Transformer layers and PyG's convolutions are torch's and PyG's own there too. It is the slow reference of the
network, and what its speed is compared with (``tests/benchmarks/bench_plain.py``).

A plain form is a function ``plain(network, batch) -> Output`` in ``tests/helpers/plain/KIND.py``; ``batch`` is one
dialogue of n utterances without padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.fusion import Joined, Projections
from bigfusion.model.networks.base import Network, Output


@dataclass(frozen=True)
class Utterances:
    """Shapes: ``features[m]`` (n, F_m), standardised; ``present[m]`` n; ``speakers`` n."""

    features: dict[str, Tensor]
    present: dict[str, list[bool]]
    speakers: list[int]

    def __len__(self) -> int:
        return len(self.speakers)


def plain(kind: str, network: Network, batch: Batch) -> Output:
    """The plain form of a network of this kind."""
    output: Output = import_module(f"tests.helpers.plain.{kind}").plain(network, batch)
    return output


def read(network: Network, batch: Batch) -> Utterances:
    """The dialogue's utterances, feature by feature: (x - mean) / deviation within +-10, 0 where it never varied."""
    assert bool(batch.mask.all()) and len(batch.mask) == 1, "one dialogue, without padding"
    features = {}
    for name in network.stored:
        scale = network.normalise.modalities[name]
        scaled = ((batch.features[name][0] - scale.mean) / scale.deviation).clamp(-10, 10)
        features[name] = torch.where(scale.deviation > 0, scaled, torch.zeros_like(scaled))
    present = {name: batch.present[name][0].tolist() for name in network.stored}
    return Utterances(features, present, batch.speakers[0].tolist())


def standing_in(rows: Tensor, present: list[bool], absent: Tensor) -> Tensor:
    """``absent`` in place of the rows that are. Shapes: (n, D), n, (D,) -> (n, D)."""
    if all(present):
        return rows
    return torch.stack([row if here else absent for row, here in zip(rows, present, strict=True)])


def projected(maps: Projections, utterances: Utterances) -> dict[str, Tensor]:
    """Each modality's linear map. Shape: (n, D) each."""
    assert maps.reduction is None
    return {
        name: standing_in(linear(utterances.features[name]), utterances.present[name], maps.absent[name])
        for name, linear in maps.projections.items()
    }


def joined(join: Joined, utterances: Utterances) -> Tensor:
    """The features side by side. Shape: (n, sum of F_m)."""
    rows = [
        standing_in(utterances.features[name], utterances.present[name], absent) for name, absent in join.absent.items()
    ]
    return torch.cat(rows, dim=1)


def embedded(table: nn.Embedding, speakers: list[int]) -> Tensor:
    """Each utterance's speaker; those beyond the table are its last. Shape: (n, D)."""
    return torch.stack([table.weight[min(speaker, table.num_embeddings - 1)] for speaker in speakers])


def within(length: int, place: int, past: int, future: int) -> range:
    """Those that ``place`` hears, itself included."""
    return range(max(place - past, 0), min(place + future + 1, length))


def edges(length: int, past: int, future: int) -> Iterator[tuple[int, int]]:
    """Source and target of every edge of a window, loops included."""
    for target in range(length):
        for source in within(length, target, past, future):
            yield source, target


def attend(attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor | None = None) -> Tensor:
    """Multi-head attention of some rows to others. Shapes: (q, D), (k, D) -> (q, D)."""
    heads = attention.num_heads
    parts = zip(
        (query, key, key if value is None else value),
        attention.in_proj_weight.chunk(3),
        attention.in_proj_bias.chunk(3),
        strict=True,
    )
    asked, asking, told = (
        (rows @ weight.T + bias).view(len(rows), heads, -1).transpose(0, 1) for rows, weight, bias in parts
    )  # (heads, rows, d)
    weights = (asked @ asking.transpose(1, 2) / math.sqrt(asked.shape[-1])).softmax(-1)
    weights = dropout(weights, attention.dropout, attention.training)
    found: Tensor = attention.out_proj((weights @ told).transpose(0, 1).flatten(1))
    return found


def relational_convolution(layer: nn.Module, nodes: Tensor, linked: list[tuple[int, int, int]]) -> Tensor:
    """x_i W_self + b + sum over relations of the mean of the neighbours' x_j W_r, relation by relation.

    Shapes: nodes (n, D), ``linked`` (source, target, relation) of each edge -> (n, D).
    """
    output = nodes @ layer.self_weight + layer.bias
    for relation in range(layer.relations):
        own = [(source, target) for source, target, kind in linked if kind == relation]
        if not own:
            continue
        sources, targets = (torch.tensor(ends) for ends in zip(*own, strict=True))
        summed = torch.zeros_like(nodes).index_add(0, targets, nodes[sources])
        counts = torch.bincount(targets, minlength=len(nodes)).clamp(min=1).unsqueeze(1)
        output = output + (summed / counts) @ layer.relation_weight[relation]
    return output


def rows(packed: Tensor) -> Tensor:
    """A dialogue's rows as those of a batch of one. Shapes: (n, D) -> (1, n, D)."""
    return packed.unsqueeze(0)
