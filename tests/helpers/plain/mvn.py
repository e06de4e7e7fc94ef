"""MVN-like: each utterance with the utterances before it, one after another."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import dropout

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.mvn import MVN, AttentionBlock, Gate
from tests.helpers.plain.dialogue import projected, read, rows


def attended(block: AttentionBlock, query: Tensor, other: Tensor) -> Tensor:
    """Att(q, x, x). Shapes: (L, D), (S, D) -> (L, D)."""
    scores = block.query(query) @ block.key(other).T / math.sqrt(query.shape[1])
    weights = dropout(scores.softmax(1), block.dropout, block.training)
    hidden = block.norm(query + weights @ block.value(other))
    return block.norm(hidden + block.feed_forward(hidden))


def mixed(gate: Gate, first: Tensor, second: Tensor) -> Tensor:
    """z a + (1 - z) b."""
    share = torch.sigmoid(gate.first(first) + gate.second(second))
    return share * first + (1 - share) * second


def of_words(network: MVN, tokens: Tensor, before: list[Tensor]) -> Tensor:
    """The word view of one utterance. Shapes: (M, D), (M, D) each -> (D,)."""
    view = network.words
    own = attended(view.within, tokens, tokens)
    if not before:
        return view.dropout(own.amax(0))
    context = torch.cat(before)
    asked = mixed(view.tokens_gate, own, attended(view.across, tokens, context))
    answers = mixed(view.tokens_gate, attended(view.within, context, context), attended(view.across, context, tokens))
    return mixed(view.gate, view.dropout(asked.amax(0)), view.dropout(answers.amax(0)))


def of_utterances(network: MVN, vector: Tensor, before: list[Tensor]) -> Tensor:
    """The utterance view. Shapes: (D,), (D,) each -> (D,)."""
    view = network.utterances
    if not before:
        return vector
    memory = torch.stack(before)
    forward, backward = view.memory(memory)[0].chunk(2, dim=1)
    bank = view.dropout(memory + forward + backward)
    context = view.dropout((bank @ vector).softmax(0) @ bank)
    return mixed(view.gate, vector, context)


def plain(network: MVN, batch: Batch) -> Output:
    """Utterance after utterance."""
    modalities = projected(network.projections, read(network, batch)).values()
    tokens = [network.dropout(torch.stack(row) + network.modality) for row in zip(*modalities, strict=True)]
    vectors = [network.dropout(own.amax(0)) for own in tokens]
    words, utterances = [], []
    for place, (own, vector) in enumerate(zip(tokens, vectors, strict=True)):
        near = slice(max(place - network.window, 0), place)
        words.append(network.words_head(of_words(network, own, tokens[near])))
        utterances.append(network.utterances_head(of_utterances(network, vector, vectors[near])))
    views = {"words": rows(torch.stack(words)), "utterances": rows(torch.stack(utterances))}
    return Output(sum(view.log_softmax(-1) for view in views.values()), views)
