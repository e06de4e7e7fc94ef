"""MMGCN: the dialogue's whole matrix of 3n nodes."""

from __future__ import annotations

import torch

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.mmgcn import MMGCN
from tests.helpers.plain.dialogue import embedded, projected, read, rows
from tests.helpers.plain.modal_graph import convolve, normalised, side_by_side, weights


def plain(network: MMGCN, batch: Batch) -> Output:
    """Encode, convolve, classify."""
    utterances = read(network, batch)
    modalities = projected(network.projections, utterances)
    context, _ = network.text(modalities["text"])
    modalities["text"] = context + embedded(network.speakers, utterances.speakers)
    states = list(modalities.values())
    adjacency = normalised(weights(states))
    nodes = network.dropout(torch.cat(states))
    hidden = convolve(network.convolutions, network.reduce(nodes), adjacency)
    return Output(rows(network.classifier(side_by_side(nodes, hidden, len(states)))))
