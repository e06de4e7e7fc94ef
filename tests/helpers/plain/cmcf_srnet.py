"""CMCF-style: attention window by window, edges pair by pair. There is no published code."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.transformer import positions
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.cmcf_srnet import SELF, CMCFSRNet, GraphTransformerLayer, LocalCrossLayer
from tests.helpers.plain.dialogue import (
    attend,
    edges,
    embedded,
    projected,
    read,
    relational_convolution,
    rows,
    within,
)


def relation_of(speakers: list[int], source: int, target: int) -> int:
    """{same, other speaker} x {earlier, later}, or itself."""
    if source == target:
        return SELF
    return 2 * (speakers[source] != speakers[target]) + (source > target)


def crossed(layer: LocalCrossLayer, own: Tensor, other: Tensor, window: int) -> Tensor:
    """Each utterance attends to its window of the other modality. Shapes: (n, H) twice -> (n, H)."""
    attended = []
    for place in range(len(own)):
        near = list(within(len(own), place, window, window))
        attended.append(attend(layer.attention, own[place : place + 1], other[near]))
    states = layer.norm(own + layer.dropout(torch.cat(attended)))
    return layer.last_norm(states + layer.dropout(layer.feed_forward(states)))


def refined(layer: GraphTransformerLayer, nodes: Tensor, alike: Tensor, speakers: list[int], window: int) -> Tensor:
    """Each utterance attends along its edges. Shapes: nodes (n, H), ``alike`` (n, H) unit vectors -> (n, H)."""
    query, key, value = (
        part.view(len(nodes), layer.heads, -1) for part in layer.query_key_value(nodes).chunk(3, dim=1)
    )  # (n, heads, d)
    attended = []
    for place in range(len(nodes)):
        near = list(within(len(nodes), place, window, window))
        kinds = [relation_of(speakers, source, place) for source in near]
        scores = torch.einsum("hd,khd->kh", query[place], key[near]) / math.sqrt(query.shape[-1])
        scores = scores + layer.relation[kinds] + layer.closeness * (alike[near] @ alike[place]).unsqueeze(1)
        attended.append(torch.einsum("kh,khd->hd", scores.softmax(0), value[near]).flatten())
    hidden = layer.norm(nodes + layer.dropout(layer.output(torch.stack(attended))))
    return layer.last_norm(hidden + layer.dropout(layer.feed_forward(hidden)))


def plain(network: CMCFSRNet, batch: Batch) -> Output:
    """Encode, cross, refine, classify."""
    utterances, settings = read(network, batch), network.settings
    length, speakers, window = len(utterances), utterances.speakers, settings.graph_window
    inputs = {}
    for name, own in projected(network.project, utterances).items():
        encoded = network.norms[name](own)
        if name == "text":
            encoded, _ = network.gru(encoded)
        added = embedded(network.speaker, speakers) + positions(length, settings.width, like=encoded)
        added = settings.embedding_weight * added
        inputs[name] = network.dropout(encoded + added)
    fused = []
    for own, states in inputs.items():
        total = torch.zeros_like(states)
        for other, partner in inputs.items():
            if other != own:
                pair = states
                for layer in network.pairs[f"{own}_{other}"]:
                    pair = crossed(layer, pair, partner, settings.window)
                total = total + pair
        fused.append(total)
    vectors = network.join(torch.cat(fused, dim=1))
    linked = [
        (source, target, relation_of(speakers, source, target))
        for source, target in edges(length, window, window)
        if source != target
    ]
    nodes = leaky_relu(relational_convolution(network.convolution, vectors, linked))
    alike = vectors / vectors.norm(dim=1, keepdim=True)
    for layer in network.refine:
        nodes = refined(layer, nodes, alike, speakers, window)
    return Output(rows(network.classifier(torch.cat([vectors, nodes], dim=1))))
