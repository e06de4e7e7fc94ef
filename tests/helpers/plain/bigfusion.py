"""BIG-FUSION: a softmax for each window, neurons step by step, a whole graph for each perturbed node, contrast by node.

It knows the default contrast (dual importance) and no ``relative`` features: these have tests of their own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bigfusion.model.data.batch import Batch
from bigfusion.model.layers.attention import DualAttention
from bigfusion.model.layers.retrieval import Retrieval
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.layers.spiking import RateCoding, lif_step
from bigfusion.model.layers.transformer import positions
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.bigfusion import BigFusion
from tests.helpers.plain.contrast import contrast
from tests.helpers.plain.dialogue import Utterances, edges, projected, read, rows, standing_in, within
from tests.helpers.plain.neighbourhood import neighbourhood

Edge = tuple[int, int, int]
"""Source, target, relation."""


def rates(neurons: RateCoding | None, current: Tensor) -> Tensor:
    """Firing rates, step by step."""
    if neurons is None:
        return current
    potential, spikes = torch.zeros_like(current), torch.zeros_like(current)
    for step in range(neurons.steps):
        threshold = neurons.threshold * (1 + neurons.rise * step)
        fired, potential = lif_step(potential, current, neurons.decay, threshold, neurons.surrogate_alpha)
        spikes = spikes + fired
    return spikes / neurons.steps


def whole_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Eq. 4. Shapes: (H, n, d) -> (H, n, d)."""
    return (query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])).softmax(-1) @ value


def window_attention(query: Tensor, key: Tensor, value: Tensor, fusion: Tensor) -> Tensor:
    """Eq. 5, window by window. Shapes: (H, n, d), fusion (w,) -> (H, n, d)."""
    length, window = query.shape[1], len(fusion)
    output = [torch.zeros_like(query[:, 0]) for _ in range(length)]
    for start in range(1 - window, length):
        inside = list(range(max(0, start), min(length, start + window)))
        found = whole_attention(query[:, inside], key[:, inside], value[:, inside])
        for index, place in enumerate(inside):
            output[place] = output[place] + fusion[place - start] * found[:, index]
    return torch.stack(output, dim=1)


def dual_attention(layer: DualAttention, inputs: Tensor) -> Tensor:
    """Eqs. 4-7. Shapes: (n, D) -> (n, D)."""
    coded = rates(layer.spiking, layer.query_key_value(inputs))
    parts = [part.view(len(inputs), layer.heads, -1).transpose(0, 1) for part in coded.chunk(3, dim=1)]
    attended = torch.zeros_like(parts[0])
    if layer.alpha > 0:
        attended = attended + layer.alpha * whole_attention(*parts)
    if layer.fusion is not None:
        attended = attended + (1 - layer.alpha) * window_attention(*parts, layer.fusion.softmax(0))
    return layer.output(attended.transpose(0, 1).flatten(1))


def convolved(encoder: RelationalEncoder, nodes: Tensor, linked: list[Edge], weights: list[float]) -> Tensor:
    """Each layer relation by relation, edges weighted. Shapes: (n, D) -> (n, D)."""
    for layer in encoder.convolutions:
        output = nodes @ layer.self_weight + layer.bias
        for relation in range(layer.relations):
            own = [(*edge[:2], weight) for edge, weight in zip(linked, weights, strict=True) if edge[2] == relation]
            if own:
                sources, targets, shares = (torch.tensor(column) for column in zip(*own, strict=True))
                counts = torch.bincount(targets, minlength=len(nodes)).clamp(min=1).unsqueeze(1)
                messages = nodes[sources] * shares.to(nodes.dtype).unsqueeze(1)
                means = torch.zeros_like(nodes).index_add(0, targets, messages) / counts
                output = output + means @ layer.relation_weight[relation]
        nodes = output.relu()
    return nodes


def relational_edges(speakers: list[int], window: int) -> list[Edge]:
    """Pair by pair, no loops."""
    return [
        (source, target, 2 * (speakers[source] != speakers[target]) + (source > target))
        for source, target in edges(len(speakers), window, window)
        if source != target
    ]


def information(perturbed: Tensor, original: Tensor) -> float:
    """-log(1 - r^2) / 2 of two embeddings (Gaussian), 1 - r^2 by what is left of one without the other.

    Shapes: (D,), (D,).
    """
    one, other = perturbed - perturbed.mean(), original - original.mean()
    one, other = one / one.norm(), other / other.norm()
    left = other - (one @ other) * one
    return -0.5 * math.log(max(float(left @ left), torch.finfo(torch.float64).eps))


@torch.no_grad()
def importances(network: BigFusion, nodes: Tensor, speakers: list[int]) -> list[float]:
    """I(v) of each node (Eqs. 9, 10): n whole graphs and n sub-graphs, each perturbed."""
    settings, window, encoder = network.settings.importance, network.settings.graph.window, network.encoder
    noise = settings.noise * torch.randn(1, nodes.shape[1], dtype=nodes.dtype)[0]

    def survives(around: list[int], changed: int) -> float:
        linked = relational_edges([speakers[place] for place in around], window)
        ones, moved = [1.0] * len(linked), nodes[around].clone()
        moved[changed] += noise
        means = [convolved(encoder, inputs, linked, ones).double().mean(0) for inputs in (moved, nodes[around])]
        return information(*means)

    length = len(nodes)
    whole = [-survives(list(range(length)), place) for place in range(length)]
    own = []
    for place in range(length):
        around = list(within(length, place, window, window))
        own.append(-survives(around, around.index(place)))
    return [
        settings.gamma * one + (1 - settings.gamma) * other
        for one, other in zip(scaled(whole), scaled(own), strict=True)
    ]


def scaled(scores: list[float]) -> list[float]:
    """Min-max within the dialogue."""
    low, high = min(scores), max(scores)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        return [0.0] * len(scores)
    return [(score - low) / (high - low) for score in scores]


def view_weights(scores: list[float], linked: list[Edge], share: float, eta: float) -> list[float]:
    """Edges at the least important nodes weigh eta."""
    ranked = sorted(range(len(scores)), key=lambda place: scores[place])
    low = set(ranked[: math.floor(share * len(scores) + 1e-9)])
    return [eta if source in low or target in low else 1.0 for source, target, _ in linked]


def mean_with(logits: Tensor, network: BigFusion, utterances: Utterances) -> Tensor:
    """The geometric mean of the network's distribution and that of the neighbourhood classifier."""
    beside = network.neighbourhood
    features = {
        name: standing_in(values, utterances.present[name], torch.zeros_like(values[0]))
        for name, values in utterances.features.items()
    }
    columns = neighbourhood(features, utterances.present, utterances.speakers, beside.bands)
    columns = (columns - beside.mean) / beside.deviation
    return (logits.log_softmax(1) + (columns @ beside.weight.T + beside.bias).log_softmax(1)) / 2


def voted(retrieval: Retrieval, utterances: Utterances) -> Tensor:
    """Log odds of the classes, training utterance by training utterance."""
    count = len(retrieval.labels)
    shares = [(retrieval.labels == label).sum().item() / count for label in range(retrieval.classes)]
    odds = []
    for text, here in zip(utterances.features["text"], utterances.present["text"], strict=True):
        votes = [retrieval.prior * share for share in shares]
        for known, label in zip(retrieval.texts, retrieval.labels.tolist(), strict=True):
            cosine = (text @ known / text.norm() / known.norm()).item()
            votes[label] += math.exp(retrieval.sharpness * (cosine - 1))
        total = sum(votes)
        odds.append(
            [math.log(vote / total / share) if here else 0.0 for vote, share in zip(votes, shares, strict=True)]
        )
    return torch.tensor(odds, dtype=retrieval.texts.dtype)


def plain(network: BigFusion, batch: Batch) -> Output:
    """Fusion, attention, graph, classes; in training the contrast of two views."""
    settings, utterances = network.settings, read(network, batch)
    assert not settings.relative and network.relative is None
    modalities = projected(network.fusion, utterances)
    hidden = network.fusion.join(torch.cat(list(modalities.values()), dim=1))
    hidden = network.transformer.dropout(hidden + positions(len(hidden), settings.width, like=hidden))
    for layer in network.transformer.layers:
        hidden = hidden + layer.dropout(dual_attention(layer.attention, layer.attention_norm(hidden)))
        hidden = hidden + layer.dropout(layer.feed_forward(hidden))
    nodes = network.transformer.norm(hidden)
    linked = relational_edges(utterances.speakers, settings.graph.window)
    graph = convolved(network.encoder, nodes, linked, [1.0] * len(linked))
    logits = network.classifier(torch.cat([graph, nodes], dim=1))
    if not network.training:
        if network.neighbourhood is not None:
            logits = mean_with(logits, network, utterances)
        if network.retrieval is not None:
            logits = logits.log_softmax(1) + settings.retrieval.weight * voted(network.retrieval, utterances)
        return Output(rows(logits))
    scores = importances(network, nodes, utterances.speakers)
    one, other = (
        normalize(
            convolved(network.encoder, nodes, linked, view_weights(scores, linked, share, settings.contrast.eta)),
            dim=1,
            eps=1e-6,
        )
        for share in settings.contrast.rho
    )
    return Output(rows(logits), {"contrast": contrast(one, other, settings.contrast.temperature)})
