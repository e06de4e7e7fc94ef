"""Relational graph convolution with edge weights (Schlichtkrull et al. 2018; MODEL: graph)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from bigfusion.model.layers.graph import Graph


class RelationalConvolution(MessagePassing):
    """x'_i = x_i W_self + b + sum over r of 1/|N_r(i)| sum over j in N_r(i) of e_ji x_j W_r.

    The mean divides by the number of edges, not by the sum of their weights e. That sum would cancel the lowering when
    all edges of a node are lowered. PyG's own layer takes no edge weights. With its compiled backend it also averages
    over all neighbours at once.

    Shapes: nodes (V, D), edge_index (2, E), relation (E,), weight (E,) or None for ones -> (V, D).
    """

    def __init__(self, width: int, relations: int) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.relations = relations
        self.self_weight = nn.Parameter(torch.empty(width, width))
        self.relation_weight = nn.Parameter(torch.empty(relations, width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        for weight in (self.self_weight, *self.relation_weight):
            nn.init.xavier_uniform_(weight)

    def forward(self, nodes: Tensor, edge_index: Tensor, relation: Tensor, weight: Tensor | None = None) -> Tensor:
        """Convolve. Messages are averaged in a slot for each node and relation. Then the slots are mapped linearly."""
        source, target = edge_index
        slot = target * self.relations + relation  # (E,)
        slots = len(nodes) * self.relations
        scale = 1 / torch.bincount(slot, minlength=slots)[slot].to(nodes.dtype)  # (E,)
        if weight is not None:
            scale = scale * weight
        means: Tensor = self.propagate(
            torch.stack([source, slot]), x=(nodes, None), scale=scale, size=(len(nodes), slots)
        )
        means = means.view(len(nodes), self.relations * means.shape[1])
        mapped = means @ self.relation_weight.flatten(0, 1)  # (V, R D) @ (R D, D)
        convolved: Tensor = nodes @ self.self_weight + mapped + self.bias
        return convolved

    def message(self, x_j: Tensor, scale: Tensor) -> Tensor:
        """The message of each edge. Shapes: (E, D), (E,) -> (E, D)."""
        return x_j * scale.unsqueeze(-1)


class RelationalEncoder(nn.Module):
    """Convolutions, each followed by a ReLU as in the R-GCN paper. No dropout: node importance compares its outputs.

    Shapes: nodes (V, D), weight (E,) or None -> (V, D).
    """

    def __init__(self, width: int, relations: int, layers: int) -> None:
        super().__init__()
        layer = (RelationalConvolution(width, relations) for _ in range(layers))
        self.layers = nn.ModuleList(layer)

    @property
    def convolutions(self) -> list[RelationalConvolution]:
        """The layers, first to last."""
        return list(self.layers)  # type: ignore[arg-type]

    def forward(self, nodes: Tensor, graph: Graph, weight: Tensor | None = None) -> Tensor:
        """Encode the nodes of ``graph``."""
        for convolution in self.convolutions:
            nodes = convolution(nodes, graph.edge_index, graph.relation, weight).relu()
        return nodes
