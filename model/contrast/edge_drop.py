"""A control: uniform edge dropping, which any learned choice must beat (Jian et al. 2024, arXiv 2405.19600)."""

from __future__ import annotations

from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.draws import random_edges, weights_without
from bigfusion.model.contrast_settings.edge_drop import EdgeDropSettings
from bigfusion.model.contrast_settings.supervised import SupervisedSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.network_settings.bigfusion import BigFusionSettings


class EdgeDrop(Contrast):
    """floor(ratio E) of each dialogue's E directed edges weigh 0."""

    def __init__(
        self, settings: EdgeDropSettings | SupervisedSettings, model: BigFusionSettings, relations: Relations
    ) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Both views keep the nodes as they are."""
        first, second = (
            View(nodes, weights_without(random_edges(graph, ratio), nodes)) for ratio in self.settings.ratio
        )
        return Views(first, second)


CONTRAST = EdgeDrop
