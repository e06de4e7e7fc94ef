"""AdaIGN, content policies: both branches' whole matrices, directed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gumbel_softmax

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.adaign import PARTY, AdaIGN, Branch
from bigfusion.model.networks.base import Output
from bigfusion.pipeline.schema import Modality
from tests.helpers.plain.dialogue import embedded, projected, read, rows
from tests.helpers.plain.mm_dfn import party_states
from tests.helpers.plain.modal_graph import convolve, normalised, weights


def heard(length: int, speakers: list[int], contexts: list[Tensor] | None, like: Tensor) -> Tensor:
    """What each edge is multiplied by: within a modality j <= i, across all. Shape: (n, n) each -> (M n, M n)."""
    count = 3 if contexts is None else len(contexts)
    share = like.new_ones(count * length, count * length)
    for modality in range(count):
        block = slice(modality * length, (modality + 1) * length)
        table = []
        for place in range(length):
            row = []
            for other in range(length):
                if other > place:
                    row.append(like.new_zeros(()))
                elif contexts is None:
                    row.append(like.new_ones(()))
                else:
                    own = contexts[modality][place]
                    row.append(own if speakers[other] == speakers[place] else 1 - own)
            table.append(torch.stack(row))
        share[block, block] = torch.stack(table)
    return share


def choose(network: AdaIGN, logits: Tensor) -> Tensor:
    """How much is kept. Shapes: (n, 2) -> (n,)."""
    if network.training and network.settings.gumbel:
        return gumbel_softmax(logits, network.temperature)[:, 0]
    return logits.softmax(-1)[:, 0]


def encoded(branch: Branch, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """A branch's own maps, and its GRU over the text."""
    states = {name: branch.maps[name](own) for name, own in inputs.items()}
    if branch.gru is not None:
        states["text"], _ = branch.gru(states["text"])
    return states


def convolved(branch: Branch, states: list[Tensor], shares: Tensor) -> Tensor:
    """Shapes: (n, D) each, (M n, M n) -> (M n, K)."""
    adjacency = normalised(weights(states) * shares)
    start = branch.reduce(branch.dropout(torch.cat(states)))
    return convolve(branch.convolutions, start, adjacency)


def policies(network: AdaIGN, inputs: dict[str, Tensor], speakers: list[int]) -> dict[str, dict[str, Tensor]]:
    """Two logits (n, 2) of each."""
    speaker = embedded(network.speaker, speakers)
    every = torch.cat(list(inputs.values()), dim=1)
    so_far = torch.stack([every[: place + 1].mean(0) for place in range(len(every))])
    seen = {name: torch.cat([own, speaker], dim=1) for name, own in inputs.items()}
    return {
        "node": {name: policy(seen[name]) for name, policy in network.node.items()},
        "context": {name: policy(seen[name]) for name, policy in network.context.items()},
        "graph": {"original": network.graph(so_far)},
    }


def plain(network: AdaIGN, batch: Batch) -> Output:
    """Policies, both branches, their mixture."""
    utterances = read(network, batch)
    length, speakers = len(utterances), utterances.speakers
    inputs = projected(network.project, utterances)
    inputs["text"] = network.norm(inputs["text"])
    chosen = policies(network, inputs, speakers)
    kept = {name: choose(network, logits).unsqueeze(1) for name, logits in chosen["node"].items()}
    original = encoded(network.original, inputs)
    selected = encoded(network.selected, {name: own * kept.get(name, 1) for name, own in inputs.items()})
    if network.party is not None:
        for name, own in inputs.items():
            party = PARTY[Modality(name)] * party_states(network.party, own, speakers)
            original[name] = original[name] + party
            selected[name] = selected[name] + party * kept.get(name, 1)
    contexts = [choose(network, logits) for logits in chosen["context"].values()]
    nodes = list(original.values())
    whole = convolved(network.original, nodes, heard(length, speakers, None, nodes[0]))
    part = convolved(network.selected, list(selected.values()), heard(length, speakers, contexts, nodes[0]))
    mixture = choose(network, chosen["graph"]["original"]).unsqueeze(1)
    pairs = zip(network.shares, whole.chunk(len(nodes)), part.chunk(len(nodes)), strict=True)
    mixed = [share * (mixture * one + (1 - mixture) * other) for share, one, other in pairs]
    own = [share * state for share, state in zip(network.shares, nodes, strict=True)]
    logits = network.classifier(network.dropout(torch.cat([*mixed, *own], dim=1)).relu())
    return Output(rows(logits), {"policies": chosen})
