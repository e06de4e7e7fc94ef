"""A control: both views are the graph itself, so that L_cl only pushes a dialogue's nodes apart."""

from __future__ import annotations

from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.layers.graph import Graph


class Identical(Contrast):
    """No augmentation."""

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """The graph, twice."""
        return Views(View(nodes), View(nodes))


CONTRAST = Identical
