"""BIG-FUSION's own views (Eqs. 9, 10): edges at the least important nodes weigh less, at other shares in each view."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from bigfusion.model.contrast.base import Contrast, Host, View, Views
from bigfusion.model.contrast.importance import dual_importance, random_importance
from bigfusion.model.contrast.information import Information, gaussian_information, histogram_information
from bigfusion.model.contrast.views import view_weights
from bigfusion.model.contrast_settings.dual_importance import DualImportanceSettings
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.layers.rgcn import RelationalEncoder
from bigfusion.model.network_settings.bigfusion import BigFusionSettings, ImportanceSettings


class DualImportance(Contrast):
    """``model.importance`` says how importance is measured, ``model.contrast`` how many nodes are lowered how far."""

    def __init__(self, settings: DualImportanceSettings, model: BigFusionSettings, relations: Relations) -> None:
        super().__init__(settings, model, relations)
        self.settings = settings
        self.measure = model.importance

    def views(self, nodes: Tensor, graph: Graph, host: Host) -> Views:
        """Both views keep the nodes as they are."""
        scores = importance(nodes, graph, host.encoder, self.measure)
        weights = (view_weights(scores, graph, rho, self.settings.eta).to(nodes.dtype) for rho in self.settings.rho)
        first, second = (View(nodes, weight) for weight in weights)
        return Views(first, second)


def importance(nodes: Tensor, graph: Graph, encoder: RelationalEncoder, settings: ImportanceSettings) -> Tensor:
    """Importance of every node from 0 to 1 (Eq. 10), without gradient. Shapes: (V, D) -> (V,) float64."""
    if settings.method == "random":
        return random_importance(graph)
    information: Information = gaussian_information
    if settings.estimator == "histogram":
        information = partial(histogram_information, bins=settings.bins)
    return dual_importance(
        nodes.detach(),
        graph,
        encoder,
        gamma=settings.gamma,
        noise=settings.noise,
        draws=settings.draws,
        information=information,
    )


CONTRAST = DualImportance
