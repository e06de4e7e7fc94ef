"""VMA: virtual masking augmentation, and several positives (Duan et al. 2023, Neural Networks 167:223-232).

The first view replaces floor(rate n) random rows of a dialogue by a learned token. The second is the graph untouched,
encoded by a target encoder: a moving average of the network's, without gradient. Neither changes an edge. The masked
nodes are both anchors and candidates. The positives of a node are the t most similar nodes of its dialogue, itself
first; similar by the kernel (I + L)^-1 of the graph's Laplacian L, or by the cosine of their inputs.

Departures from the released code (its form of 2024): the token is trained (there it is in no optimizer and stays 0);
the target starts as a copy of the encoder; momentum is 0.99, not 0.9999, with which a training of 1,000 steps would
keep nine tenths of the start; the contrast is BIG-FUSION's, its numerators summed over the positives. The kernel of a
window graph knows positions alone: neighbouring turns become positives whatever they say. ``similar = "features"``
looks at content. The older form, two dropouts of one graph, is not offered: the encoder has no hidden dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import random_nodes, row_mask
from bigfusion.model.contrast.losses import TINY
from bigfusion.model.contrast_settings.vma import VMASettings
from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.network_settings.bigfusion import BigFusionSettings

REACH = 16
"""The number of windows from a dialogue's ends within which the kernel exceeds 1e-4 of its maximum."""


class VMA(Contrast):
    """The token is trained with the network; the target follows the encoder after each step."""

    started: Tensor

    def __init__(self, settings: VMASettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.token = nn.Parameter(torch.zeros(model.width))
        self.target = RelationalEncoder(model.width, relations.count, model.graph.layers).requires_grad_(False)
        self.register_buffer("started", torch.tensor(False))  # whether the target is a copy of the encoder yet

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """The masked view of the encoder, and the whole graph as the target encodes it."""
        if not self.started:
            self._follow(host.encoder, 1.0)
            self.started.fill_(True)
        masked = random_nodes(graph, self.settings.rate)
        first = View(torch.where(masked.unsqueeze(1), self.token.to(nodes.dtype), nodes), anchors=masked)
        second = View(nodes, anchors=masked, encode=self._encode)
        return Views(first, second, positives=self._positives(nodes, graph))

    def after_step(self, encoder: RelationalEncoder) -> None:
        """Move the target towards the encoder."""
        self._follow(encoder, 1 - self.settings.momentum)

    @torch.no_grad()
    def _follow(self, encoder: RelationalEncoder, share: float) -> None:
        for average, weight in zip(self.target.parameters(), encoder.parameters(), strict=True):
            average.lerp_(weight, share)

    @torch.no_grad()
    def _encode(self, nodes: Tensor, graph: Graph, weights: Tensor | None) -> Tensor:
        encoded: Tensor = self.target(nodes, graph, weights)
        return encoded

    def _positives(self, nodes: Tensor, graph: Graph) -> Tensor | None:
        """The positives of each node, (B, N, N) bool; None: itself alone."""
        if self.settings.alike == 1:
            return None
        if self.settings.similar == "features":
            return alike_by_features(nodes, graph, self.settings.alike)
        return alike_by_kernel(graph, self.settings.alike)


@torch.no_grad()
def alike_by_features(nodes: Tensor, graph: Graph, count: int) -> Tensor:
    """Each node and the ``count`` - 1 others of its dialogue with the highest cosine.

    Shapes: (V, D) -> (B, N, N) bool.
    """
    with torch.autocast(nodes.device.type, enabled=False):
        rows = to_rows(normalize(nodes.detach().double(), dim=1, eps=TINY), row_mask(graph))
        return _highest(rows @ rows.transpose(1, 2), row_mask(graph), count)


@torch.no_grad()
def alike_by_kernel(graph: Graph, count: int) -> Tensor:
    """Each node and the ``count`` - 1 others for which the kernel is largest. Shape: (B, N, N) bool.

    In a long dialogue the kernel of a middle node sees no end, so that one node stands for all of the middle: the
    kernel is inverted for at most 2 REACH w + 1 places.
    """
    mask, reach = row_mask(graph), REACH * max(graph.window, 1)
    size = graph.sizes.clamp(max=2 * reach + 1)  # (B,)
    short = torch.arange(int(size.max()) if len(size) else 0, device=size.device) < size.unsqueeze(1)  # (B, M)
    chosen = _highest(kernel(short, graph.window), short, count)  # (B, M, M)
    place = torch.arange(mask.shape[1], device=size.device).expand(mask.shape)  # (B, N)
    middle = (graph.sizes - size).unsqueeze(1)
    shift = torch.minimum((place - reach).clamp(min=0), middle)  # from a place among M to the one among N
    longest = short.shape[1]
    stand_in = (place - shift).clamp(max=max(longest - 1, 0))
    of_places = chosen.gather(1, stand_in.unsqueeze(2).expand(-1, -1, longest))  # (B, N, M)
    found = torch.zeros(*mask.shape, mask.shape[1], dtype=torch.bool, device=mask.device)
    moved = torch.arange(longest, device=mask.device) + shift.unsqueeze(2)  # (B, N, M)
    return found.scatter_(2, moved, of_places) & mask.unsqueeze(2)


def kernel(mask: Tensor, window: int) -> Tensor:
    """(I + L)^-1 of each row's window graph, L = D - A; its rows sum to 1. Shapes: (B, N) bool -> (B, N, N) float64."""
    place = torch.arange(mask.shape[1], device=mask.device)
    near = (place.unsqueeze(1) - place).abs() <= window
    adjacent = (near & mask.unsqueeze(1) & mask.unsqueeze(2)).double()  # (B, N, N), A + I
    laplacian = torch.diag_embed(adjacent.sum(2)) - adjacent
    inverse: Tensor = torch.linalg.inv(torch.eye(mask.shape[1], dtype=torch.float64, device=mask.device) + laplacian)
    return inverse


def _highest(similarity: Tensor, mask: Tensor, count: int) -> Tensor:
    """Each real node's own place and the ``count`` - 1 most similar real ones, of equals the earlier.

    Shapes: (B, N, N), (B, N) bool -> (B, N, N) bool.
    """
    real = mask.unsqueeze(1) & mask.unsqueeze(2)
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    similarity = similarity.round(decimals=8).masked_fill(~real, -torch.inf).masked_fill(own, torch.inf)
    order = similarity.argsort(dim=2, descending=True, stable=True)[:, :, :count]
    return torch.zeros_like(real).scatter_(2, order, True) & real


CONTRAST = VMA
