"""COGMEN: edges pair by pair, the convolution relation by relation."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.graph import Relations
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.cogmen import COGMEN
from tests.helpers.plain.dialogue import edges, joined, read, relational_convolution, rows


def relation(relations: Relations, one: int, other: int, later: bool) -> int:
    """The relation of an edge from speaker ``one`` to speaker ``other``; a self edge counts as later."""
    if relations.kind == "order":
        return 2 * (one != other) + later
    last = relations.speakers - 1
    return 2 * (relations.speakers * min(one, last) + min(other, last)) + later


def typed(linked: Iterable[tuple[int, int]], speakers: list[int], relations: Relations) -> list[tuple[int, int, int]]:
    """Source, target and relation of every edge."""
    return [
        (source, target, relation(relations, speakers[source], speakers[target], source >= target))
        for source, target in linked
    ]


def plain(network: COGMEN, batch: Batch) -> Output:
    """Context, graph, classes."""
    utterances, settings = read(network, batch), network.settings
    inputs = joined(network.join, utterances)
    nodes = network.reduce(network.context.encoder(inputs.unsqueeze(0))[0])
    linked = typed(edges(len(utterances), settings.past, settings.future), utterances.speakers, network.relations)
    convolved = relational_convolution(network.convolution, nodes, linked)
    ends = torch.tensor([(source, target) for source, target, _ in linked]).T
    return Output(rows(network.classifier(network.norm(network.attention(convolved, ends)))))
