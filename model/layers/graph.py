"""The relational graph of a batch: real utterances as nodes, edges within a window (MODEL: graph construction)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Relations:
    """How an edge j -> i gets its type, a number below ``count``. Earlier and later sources never share a type.

    ``order``: {same speaker, other speaker} x {j earlier than i, j later}: 0 same earlier, 1 same later, 2 other
    earlier, 3 other later. ``pairs``: COGMEN's 2 P^2 pairs of speakers, 2 (P s_j + s_i) + [j later]; a dialogue's
    speakers beyond the P-th count as its P-th.
    """

    kind: Literal["order", "pairs"] = "order"
    speakers: int = 2

    @property
    def count(self) -> int:
        """The number of types, R."""
        return 4 if self.kind == "order" else 2 * self.speakers**2

    def of(self, source: Tensor, target: Tensor, later: Tensor) -> Tensor:
        """The types of edges, given their speakers and whether the source is later. The arguments broadcast."""
        if self.kind == "order":
            return 2 * (source != target).long() + later.long()
        last = self.speakers - 1
        return 2 * (self.speakers * source.clamp(max=last) + target.clamp(max=last)) + later.long()


@dataclass(frozen=True)
class Graph:
    """The dialogues of a batch as one graph of V nodes and E edges; no edge joins two dialogues.

    Nodes are the real utterances, dialogue after dialogue, in their order. There is an edge j -> i for every pair with
    0 < |i - j| <= window. There are no self loops: a node's own state enters through the convolution's self weight.

    Shapes: ``edge_index`` (2, E) sources j, then targets i; ``relation`` (E,); ``dialogue`` (V,) the node's row in the
    batch; ``speaker`` (V,); ``sizes`` (B,) nodes of each dialogue.
    """

    edge_index: Tensor
    relation: Tensor
    dialogue: Tensor
    speaker: Tensor
    sizes: Tensor
    window: int
    relations: Relations


def build_graph(mask: Tensor, speakers: Tensor, window: int, relations: Relations) -> Graph:
    """The graph of a batch. Shapes: mask (B, N) bool, speakers (B, N) int."""
    dialogue = mask.nonzero()[:, 0]  # (V,)
    speaker = speakers[mask]  # (V,)
    nodes = torch.arange(len(dialogue), device=mask.device)
    distance = torch.arange(-window, window + 1, device=mask.device)
    distance = distance[distance != 0]  # (2w,): the source's position minus the target's

    source = nodes.unsqueeze(1) + distance  # (V, 2w)
    target = nodes.unsqueeze(1).expand_as(source)
    exists = (source >= 0) & (source < len(nodes))
    exists &= dialogue[source.clamp(0, max(len(nodes) - 1, 0))] == dialogue.unsqueeze(1)
    source, target = source[exists], target[exists]  # (E,)
    relation = relations.of(speaker[source], speaker[target], later=source > target)
    return Graph(torch.stack([source, target]), relation, dialogue, speaker, mask.sum(1), window, relations)
