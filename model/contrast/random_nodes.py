"""A control: BIG-FUSION's views with nodes chosen by chance. Does it matter which nodes are called unimportant?

It computes no importance. ``model.importance.method = "random"`` chooses one random order for both views, as the
paper's ablation would; here each view draws its own.
"""

from __future__ import annotations

from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.importance import random_importance
from bigfusion.model.contrast.views import view_weights
from bigfusion.model.contrast_settings.random_nodes import RandomNodesSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.network_settings.bigfusion import BigFusionSettings


class RandomNodes(Contrast):
    """Edges at floor(rho n) random nodes of each dialogue weigh eta."""

    def __init__(self, settings: RandomNodesSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Both views keep the nodes as they are."""
        first, second = (
            View(nodes, view_weights(random_importance(graph), graph, rho, self.settings.eta).to(nodes.dtype))
            for rho in self.settings.rho
        )
        return Views(first, second)


CONTRAST = RandomNodes
