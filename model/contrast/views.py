"""The augmented graph: lower weights for the edges of the least important nodes (after Eq. 10)."""

from __future__ import annotations

import torch
from torch import Tensor

from bigfusion.model.layers.graph import Graph

ROUNDING = 1e-9
"""0.29 * 100 is 28.999999999999996 in floating point and means 29."""


def least_important(importance: Tensor, graph: Graph, rho: float) -> Tensor:
    """The floor(rho n) least important of each dialogue's n nodes, of equals the earlier. Shapes: (V,) -> (V,) bool."""
    ascending = importance.argsort(stable=True)
    order = ascending[graph.dialogue[ascending].argsort(stable=True)]  # by dialogue, then score, then place
    start = graph.sizes.cumsum(0) - graph.sizes  # (B,): nodes before each dialogue
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    rank -= start[graph.dialogue]
    return rank < (rho * graph.sizes.double() + ROUNDING).floor()[graph.dialogue]


def view_weights(importance: Tensor, graph: Graph, rho: float, eta: float) -> Tensor:
    """Edge weights of a view: ``eta`` where either end is among the rho least important of its dialogue, else 1.

    A node's own state, which the self weight carries, is no edge and stays. Shapes: importance (V,) -> (E,) float32.
    """
    unimportant = least_important(importance, graph, rho)
    touched = unimportant[graph.edge_index].any(0)  # (E,)
    return torch.where(touched, eta, 1.0)
