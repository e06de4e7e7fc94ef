"""GA2MIF: edges pair by pair, PyG's graph attention, one partner after another."""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.ga2mif import GA2MIF, PartnerAttention
from tests.helpers.plain.dialogue import attend, edges, embedded, projected, read, rows


def fused(layer: PartnerAttention, own: Tensor, states: dict[str, Tensor]) -> Tensor:
    """One modality of one MPCAT layer. Shapes: (n, H) -> (n, H)."""
    heard_of = own
    for name, attention in layer.attention.items():
        heard_of = heard_of + layer.dropout(attend(attention, states[name], own))
    hidden = layer.norm(heard_of)
    return layer.last_norm(hidden + layer.dropout(layer.feed_forward(hidden)))


def plain(network: GA2MIF, batch: Batch) -> Output:
    """Encode, attend within, attend across."""
    utterances, settings = read(network, batch), network.settings
    speaker = settings.speaker_weight * embedded(network.speaker, utterances.speakers)
    linked = torch.tensor(list(edges(len(utterances), settings.past, settings.future))).T
    states = {}
    for name, project in network.project.items():
        inputs = projected(project, utterances)[name]
        encoded = network.text(network.lstm(inputs)[0]) if name == "text" else inputs.tanh()
        nodes, graph = encoded + speaker, network.graph[name]
        for number in range(settings.rounds):
            index = number % len(graph.norms)
            nodes = graph.norms[index](nodes + graph.convolutions[index](nodes, linked))
        states[name] = nodes
    for layer in network.layers:
        states = {name: fused(layer[name], own, states) for name, own in states.items()}
    return Output(rows(network.classifier(torch.cat(list(states.values()), dim=1))))
