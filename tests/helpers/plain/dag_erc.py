"""DAG-ERC: utterance after utterance, predecessor by predecessor."""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.dag_erc import DAGERC, DAGLayer
from tests.helpers.plain.dialogue import joined, read, rows


def predecessors(speakers: list[int], place: int, reach: int) -> list[int]:
    """From the one before back to, and with, the reach-th of the same speaker."""
    found: list[int] = []
    own = 0
    for earlier in range(place - 1, -1, -1):
        found.append(earlier)
        own += speakers[earlier] == speakers[place]
        if own == reach:
            break
    return found[::-1]


def layer_states(layer: DAGLayer, below: Tensor, speakers: list[int], reach: int) -> Tensor:
    """One layer. Shapes: (n, D), n -> (n, D)."""
    states: list[Tensor] = []
    for place, row in enumerate(below):
        message = torch.zeros_like(row)
        near = predecessors(speakers, place, reach)
        if near:
            shares = torch.cat([layer.score(states[earlier]) for earlier in near]).softmax(0)
            for share, earlier in zip(shares, near, strict=True):
                relation = layer.same if speakers[earlier] == speakers[place] else layer.other
                message = message + share * relation(states[earlier])
        states.append(layer.node(row, message) + layer.context(message, row))
    return torch.stack(states)


def plain(network: DAGERC, batch: Batch) -> Output:
    """Layer by layer."""
    utterances = read(network, batch)
    inputs = joined(network.join, utterances)
    layers = [network.reduce(inputs)]
    for layer in network.layers:
        layers.append(layer_states(layer, layers[-1], utterances.speakers, network.reach))
    return Output(rows(network.classifier(torch.cat([*layers, inputs], dim=1))))
