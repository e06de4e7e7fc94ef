"""SCMM: three paths over one dialogue, and the interactions utterance by utterance. There is no published code."""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.scmm import SCMM, Context, Selection
from tests.helpers.plain.dialogue import attend, embedded, projected, read, rows


def selected(select: Selection, paths: list[Tensor]) -> Tensor:
    """The mean of one utterance's paths, weighed by the query. Shapes: (D,) each -> (D,)."""
    assert not select.hard
    scores = torch.stack([path @ select.query for path in paths]) / math.sqrt(len(paths[0]))
    return sum(share * path for share, path in zip(scores.softmax(0), paths, strict=True))


def contextual(context: Context, states: Tensor) -> list[Tensor]:
    """One modality's utterances in their context. Shapes: (n, D) -> (D,) each."""
    long, short, independent = context.paths
    found = (long.layer(states.unsqueeze(0))[0], short.gru(states)[0], independent.map(states))
    return [selected(context.select, list(paths)) for paths in zip(*found, strict=True)]


def fused(network: SCMM, tokens: list[Tensor]) -> Tensor:
    """One utterance's modalities. Shapes: (D,) each -> (D,)."""
    full, partial, biased = network.interactions
    stacked = torch.stack(tokens)
    met = attend(full.attention, stacked, stacked).mean(0)
    products = partial.map(torch.cat([one * other for one, other in combinations(tokens, 2)]))
    leader = tokens[biased.leader]
    led = leader
    for index, gate, map_ in zip(biased.others, biased.gates, biased.maps, strict=True):
        led = led + torch.sigmoid(gate(torch.cat([leader, tokens[index]]))) * map_(tokens[index])
    return selected(network.select, [met, products, led])


def plain(network: SCMM, batch: Batch) -> Output:
    """Context, interaction, classes."""
    utterances = read(network, batch)
    speaker = embedded(network.speakers, utterances.speakers)
    modalities = projected(network.projections, utterances)
    read_ = [contextual(network.contexts[name], own + speaker) for name, own in modalities.items()]
    vectors = torch.stack([fused(network, list(tokens)) for tokens in zip(*read_, strict=True)])
    return Output(rows(network.classifier(vectors)))
