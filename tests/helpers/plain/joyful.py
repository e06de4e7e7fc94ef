"""JOYFUL: fusion utterance by utterance, edges pair by pair, the contrast node by node."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.joyful import JOYFUL, DoubleFusion
from tests.helpers.plain.cogmen import typed
from tests.helpers.plain.contrast import contrast
from tests.helpers.plain.dialogue import Utterances, edges, joined, read, relational_convolution, rows


def fused(fusion: DoubleFusion, utterances: Utterances) -> tuple[Tensor, Tensor]:
    """[z_g; z_l] and L_mf of each utterance. Shapes: (n, 2K), (n,)."""
    codes, losses = [], []
    for row in joined(fusion.join, utterances):
        code, decoded = fusion.whole(row)
        aligned = []
        for project, features in zip(fusion.maps, row.split(fusion.widths), strict=True):
            values = project(features)
            aligned.append(torch.outer(fusion.basis, values).softmax(1) @ values)
        local = torch.cat(aligned)
        local_code, local_decoded = fusion.local(local)
        codes.append(torch.cat([code, local_code]))
        losses.append(mse_loss(decoded, row.detach()) + mse_loss(local_decoded, local))
    return torch.stack(codes), torch.stack(losses)


def aimed_anew(linked: list[tuple[int, int]], length: int, share: float) -> list[tuple[int, int]]:
    """A share of the edges comes from anywhere."""
    if not share:
        return linked
    return [
        (int(torch.randint(length, ())) if float(torch.rand(())) < share else source, target)
        for source, target in linked
    ]


def proximate(linked: list[tuple[int, int]], length: int, threshold: float) -> list[tuple[int, int]]:
    """The edges, and the pairs whose Katz score passes ``threshold`` of the largest."""
    adjacency = torch.zeros(length, length, dtype=torch.double)
    for source, target in linked:
        adjacency[target, source] = float(source != target)
    degree = max(float(adjacency.sum(1).max()), 1.0)
    katz = torch.linalg.inv(torch.eye(length, dtype=torch.double) - 0.9 / degree * adjacency)
    katz.fill_diagonal_(0)
    near, limit = set(linked), threshold * float(katz.max())
    for target in range(length):
        for source in range(length):
            if float(katz[target, source]) > limit:
                near.add((source, target))
    return sorted(near)


def convolved(network: JOYFUL, nodes: Tensor, linked: list[tuple[int, int]], speakers: list[int]) -> Tensor:
    """The relational convolution along these edges. Shapes: (n, D) -> (n, D)."""
    return relational_convolution(network.convolution, nodes, typed(linked, speakers, network.relations))


def masked(nodes: Tensor, share: float) -> Tensor:
    """Some numbers set to 0."""
    return nodes * (torch.rand_like(nodes) >= share) if share else nodes


def plain(network: JOYFUL, batch: Batch) -> Output:
    """Fusion, context, graph, classes; in training the contrast of two views."""
    utterances, settings = read(network, batch), network.settings
    assert settings.form == "paper"
    length, speakers = len(utterances), utterances.speakers
    vectors, reconstruction = fused(network.fusion, utterances)
    nodes = network.reduce(network.context.encoder(vectors.unsqueeze(0))[0])
    linked = list(edges(length, settings.past, settings.future))
    graph = network.attention(convolved(network, nodes, linked, speakers), torch.tensor(linked).T)
    parts = {"reconstruction": reconstruction}
    if network.training:
        anew = aimed_anew(linked, length, settings.perturb)
        near = proximate(linked, length, settings.proximity)
        one, other = (
            normalize(convolved(network, masked(nodes, settings.mask), some, speakers), dim=1, eps=1e-6)
            for some in (anew, near)
        )
        parts["contrast"] = contrast(one, other, settings.temperature)
    return Output(rows(network.classifier(network.norm(graph))), parts)
