"""The contrast that BIG-FUSION uses: two views of the graph, made by dual importance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class DualImportanceSettings(ContrastSettings):
    """Lower the weights of the edges at the least important nodes. ``model.importance`` sets how these are measured."""

    kind: Literal["dual_importance"] = "dual_importance"
    rho: tuple[Share, Share] = Field(default=(0.4, 0.2), description="share of least important nodes, per view")
    eta: float = Field(default=0.5, ge=0, lt=1, description="weight of the edges that touch them")


SETTINGS = DualImportanceSettings
