"""SDT: pair of modalities after pair. Its code has no loop over utterances, so neither has this."""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.cross_transformer import CrossTransformer
from bigfusion.model.layers.transformer import positions
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.sdt import SDT
from tests.helpers.plain.dialogue import attend, embedded, projected, read, rows


def transformed(layer: CrossTransformer, query: Tensor, key: Tensor) -> Tensor:
    """y = q + Att(q <- k), then y + FF(y). Shapes: (n, D) twice -> (n, D)."""
    hidden = query + layer.dropout(attend(layer.attention, query, key))
    return hidden + layer.dropout(layer.feed_forward(hidden))


def plain(network: SDT, batch: Batch) -> Output:
    """Nine pairs, two levels of gates, four heads."""
    utterances = read(network, batch)
    speaker = embedded(network.speaker, utterances.speakers)
    added = positions(len(utterances), network.settings.width, like=speaker) + speaker
    added = network.settings.embedding_weight * added
    inputs = {name: own + added for name, own in projected(network.project, utterances).items()}
    states = {}
    for name, query in inputs.items():
        gated = []
        for other, key in inputs.items():
            pair = network.pairs[f"{name}_{other}"]
            asked = pair.dropout(query)
            told = asked if name == other else pair.dropout(key)
            found = transformed(pair.transformer, asked, told)
            gated.append(pair.gate.weight(found).sigmoid() * found)
        states[name] = network.join[name](torch.cat(gated, dim=1))
    raised = {name: network.fusion.weight(state).exp() for name, state in states.items()}
    fused = sum(raised[name] * state for name, state in states.items()) / sum(raised.values())
    modalities = {name: rows(network.heads[name](state)) for name, state in states.items()}
    return Output(rows(network.classifier(fused)), {"modalities": modalities})
