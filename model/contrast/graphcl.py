"""GraphCL: four random augmentations (You et al., "Graph Contrastive Learning with Augmentations", NeurIPS 2020).

With r the ratio and n, E a dialogue's nodes and edges:

* ``nodes``: floor(r n) random nodes are dropped;
* ``edges``: floor(r E) random edges are dropped;
* ``attributes``: floor(r n) random rows become the dialogue's mean row, without gradient;
* ``subgraph``: from a random node, a random node of those adjacent is added until floor((1 - r) n) are kept.

A dropped node stays as an anchor, for the contrast is of nodes; all its edges weigh 0.

Departures from the released code: the contrast is BIG-FUSION's, of nodes, where GraphCL pools graphs and leaves the
positive out of the denominator; no random edges are added (the authors' own later code only drops); attributes become
the mean row in all cases, since the Transformer's outputs have no fixed range; the subgraph grows over all neighbours,
where a discarded ``union`` in the released code keeps it within one ball.
"""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import (
    edge_dialogue,
    lowest,
    random_edges,
    random_nodes,
    touches,
    weights_without,
)
from bigfusion.model.contrast.importance import random_importance
from bigfusion.model.contrast_settings.graphcl import Augmentation, GraphCLSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.relative import group_mean
from bigfusion.model.network_settings.bigfusion import BigFusionSettings

TYPES = get_args(Augmentation)[1:]


class GraphCL(Contrast):
    """Each view of each dialogue is one augmentation."""

    def __init__(self, settings: GraphCLSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Two augmentations, drawn apart."""
        pairs = zip(self.settings.augmentations, self.settings.ratio, strict=True)
        first, second = (augmented(nodes, graph, drawn_types(name, graph), ratio) for name, ratio in pairs)
        return Views(first, second)


def drawn_types(name: Augmentation, graph: Graph) -> Tensor:
    """The place in ``TYPES`` of each dialogue's augmentation. Shape: (B,)."""
    dialogues, device = len(graph.sizes), graph.sizes.device
    if name == "any":
        return torch.randint(len(TYPES), (dialogues,), device=device)
    return torch.full((dialogues,), TYPES.index(name), device=device)


def augmented(nodes: Tensor, graph: Graph, types: Tensor, ratio: float) -> View:
    """Each dialogue's augmentation of the type that ``types`` (B,) names. Shapes: nodes (V, D)."""
    of_node, of_edge = types[graph.dialogue], types[edge_dialogue(graph)]
    dropped = random_nodes(graph, ratio) & (of_node == TYPES.index("nodes"))
    if (types == TYPES.index("subgraph")).any():
        dropped |= ~subgraph(graph, 1 - ratio) & (of_node == TYPES.index("subgraph"))
    cut = touches(dropped, graph) | (random_edges(graph, ratio) & (of_edge == TYPES.index("edges")))
    masked = random_nodes(graph, ratio) & (of_node == TYPES.index("attributes"))
    mean = group_mean(nodes.detach(), graph.dialogue, len(graph.sizes))[graph.dialogue]  # (V, D)
    return View(torch.where(masked.unsqueeze(1), mean, nodes), weights_without(cut, nodes))


def subgraph(graph: Graph, share: float) -> Tensor:
    """floor(share n) nodes of each dialogue, at least one, grown from a random one. Shape: (V,) bool.

    Each step adds one of the adjacent nodes, all equally likely. All steps come at once: each node waits, from when its
    first neighbour is in, for a time that is exponential with rate 1. Such times have no memory: of those that wait,
    each is equally likely to be next. So the nodes kept are those that arrive earliest, on shortest paths.
    """
    source, target = graph.edge_index
    wait = -torch.log1p(-random_importance(graph))  # (V,)
    order = random_importance(graph)
    first = order.new_full((len(graph.sizes),), math.inf).scatter_reduce(0, graph.dialogue, order, "amin")
    starts = order == first[graph.dialogue]
    arrival = torch.where(starts, 0, torch.full_like(order, math.inf))
    while True:
        reached = torch.full_like(arrival, math.inf).scatter_reduce(0, target, arrival[source], "amin") + wait
        sooner = torch.minimum(arrival, reached)
        if torch.equal(sooner, arrival):
            break
        arrival = sooner
    kept = lowest(arrival, graph.dialogue, len(graph.sizes), share) & arrival.isfinite()
    return kept | starts


CONTRAST = GraphCL
