"""AMB-DSGDN: relations pair by pair, one differential attention layer after another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import gelu, leaky_relu

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.differential import INITIAL, DifferentialAttention
from bigfusion.model.layers.transformer import positions
from bigfusion.model.networks.amb_dsgdn import AMBDSGDN, DifferentialBlock
from bigfusion.model.networks.base import Output
from tests.helpers.plain.dialogue import edges, embedded, projected, read, rows
from tests.helpers.plain.sdt import transformed


def relations(speakers: list[int], window: int) -> tuple[Tensor, Tensor]:
    """How i hears j in the graph of the other speakers and of the same one. Shape: (n, n) each."""
    cross, same = ([[0] * len(speakers) for _ in speakers] for _ in range(2))
    for source, target in edges(len(speakers), window, window):
        if source == target:
            cross[target][source] = same[target][source] = 1
        elif speakers[source] == speakers[target]:
            same[target][source] = 2 if source < target else 3
        else:
            cross[target][source] = 4 if source > target else 5
    return torch.tensor(cross), torch.tensor(same)


def attended(layer: DifferentialAttention, inputs: Tensor, relation: Tensor) -> Tensor:
    """One layer. Shapes: (n, F), (n, n) -> (n, D)."""
    projected_ = layer.project(inputs)
    alphas = []
    for sign, half in enumerate(projected_.chunk(2, dim=1)):
        known = (layer.relations @ layer.relation_score[sign])[relation]  # (n, n)
        scores = (half @ layer.left[sign]).unsqueeze(1) + (half @ layer.right[sign]).unsqueeze(0) + known
        scores = leaky_relu(scores, 0.2).masked_fill(relation == 0, -torch.inf)
        alphas.append(scores.softmax(1))
    one, other, third, fourth = layer.scale
    difference = torch.exp((one * other).sum()) - torch.exp((third * fourth).sum()) + INITIAL
    weights = layer.dropout(alphas[0] - difference * alphas[1])
    return gelu((1 - INITIAL) * layer.norm(weights @ projected_))


def block(layer: DifferentialBlock, inputs: Tensor, relation: Tensor) -> Tensor:
    """Layers side by side, and one on top. Shapes: (n, D), (n, n) -> (n, D)."""
    joined = torch.cat([attended(head, layer.dropout(inputs), relation) for head in layer.heads], dim=1)
    top = gelu(attended(layer.top, layer.dropout(joined), relation))
    return layer.norm(inputs + layer.output(top))


def plain(network: AMBDSGDN, batch: Batch) -> Output:
    """Modality by modality."""
    utterances, settings = read(network, batch), network.settings
    assert not (network.training and network.dropping)
    cross, same = relations(utterances.speakers, settings.window)
    logits = {}
    for name, own in projected(network.project, utterances).items():
        inputs = own
        if name in network.encoders:
            added = positions(len(utterances), settings.width, like=own)
            added = added + embedded(network.speaker, utterances.speakers)
            placed = own + settings.embedding_weight * added
            inputs = network.dropout(transformed(network.encoders[name], placed, placed))
        hidden = block(network.same[name], block(network.cross[name], inputs, cross), same)
        if name in network.gates:
            hidden = hidden * network.gates[name](hidden).sigmoid()
        logits[name] = rows(network.classifiers[name](hidden))
    return Output(sum(logits.values()), {"modalities": logits})
