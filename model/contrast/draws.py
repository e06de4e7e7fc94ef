"""What augmentations draw: a share of each dialogue's nodes or edges, and the weights of edges that are dropped.

Everything is counted within a dialogue, so that a view does not depend on the batch's other dialogues. Noise is drawn
in float32 under autocast as well: bfloat16 rounds 1 - 1e-4 to 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.contrast.views import ROUNDING, least_important
from bigfusion.model.layers.graph import Graph


def uniform(count: int, graph: Graph) -> Tensor:
    """Independent numbers from 0 to 1. Shape: (count,) float32."""
    return torch.rand(count, dtype=torch.float32, device=graph.dialogue.device)


def edges(graph: Graph) -> int:
    """E."""
    return graph.edge_index.shape[1]


def edge_dialogue(graph: Graph) -> Tensor:
    """The dialogue of each edge. Shape: (E,)."""
    return graph.dialogue[graph.edge_index[1]]


def row_mask(graph: Graph) -> Tensor:
    """The nodes in rows, True = real. Shape: (B, N), N the longest dialogue's length."""
    longest = int(graph.sizes.max()) if len(graph.sizes) else 0
    return torch.arange(longest, device=graph.sizes.device) < graph.sizes.unsqueeze(1)


def random_nodes(graph: Graph, share: float) -> Tensor:
    """floor(share n) of each dialogue's n nodes, each set as likely as any other. Shape: (V,) bool."""
    return least_important(uniform(len(graph.dialogue), graph), graph, share)


def random_edges(graph: Graph, share: float) -> Tensor:
    """floor(share E) of each dialogue's E edges, each set as likely as any other. Shape: (E,) bool."""
    return lowest(uniform(edges(graph), graph), edge_dialogue(graph), len(graph.sizes), share)


def lowest(scores: Tensor, group: Tensor, groups: int, share: float) -> Tensor:
    """The floor(share n) lowest of each group's n scores, of equals the earlier.

    Shapes: (M,), (M,) int -> (M,) bool.
    """
    ascending = scores.argsort(stable=True)
    order = ascending[group[ascending].argsort(stable=True)]  # by group, then score, then place
    sizes = torch.bincount(group, minlength=groups)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    rank -= (sizes.cumsum(0) - sizes)[group]
    return rank < (share * sizes.double() + ROUNDING).floor()[group]


def weights_without(dropped: Tensor, nodes: Tensor) -> Tensor:
    """0 for the edges that ``dropped`` names, else 1, in the dtype of ``nodes``. Shapes: (E,) bool -> (E,)."""
    return (~dropped).to(nodes.dtype)


def touches(chosen: Tensor, graph: Graph) -> Tensor:
    """The edges that start or end at a chosen node. Shapes: (V,) bool -> (E,) bool."""
    return chosen[graph.edge_index].any(0)
