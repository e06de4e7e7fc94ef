"""MM-DFN: a GRU for each party and modality, then MMGCN's matrix with a gate over depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.mm_dfn import MMDFN
from tests.helpers.plain.dialogue import projected, read, rows
from tests.helpers.plain.modal_graph import convolve, normalised, side_by_side, weights


def party_states(recurrent: nn.GRU, states: Tensor, speakers: list[int]) -> Tensor:
    """Party by party. Shapes: (n, D), n -> (n, D)."""
    found: dict[int, Tensor] = {}
    for party in set(speakers):
        own = [place for place, speaker in enumerate(speakers) if speaker == party]
        read_, _ = recurrent(states[own])
        found |= dict(zip(own, read_, strict=True))
    return torch.stack([found[place] for place in range(len(speakers))])


def plain(network: MMDFN, batch: Batch) -> Output:
    """Encode, convolve, classify."""
    utterances = read(network, batch)
    own = projected(network.projections, utterances)
    contexts = dict(own)
    contexts["text"], _ = network.text(own["text"])
    for name, weight in network.speaker_weights.items():
        contexts[name] = contexts[name] + weight * party_states(network.party, own[name], utterances.speakers)
    states = list(contexts.values())
    adjacency = normalised(weights(states))
    nodes = network.dropout(torch.cat(states))
    hidden = convolve(network.fusion, network.reduce(nodes), adjacency)
    return Output(rows(network.classifier(side_by_side(nodes, hidden, len(states)))))
