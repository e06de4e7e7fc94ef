"""GraphCL's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share

Augmentation = Literal["any", "nodes", "edges", "attributes", "subgraph"]


class GraphCLSettings(ContrastSettings):
    """Four random augmentations (You et al. 2020)."""

    kind: Literal["graphcl"] = "graphcl"
    augmentations: tuple[Augmentation, Augmentation] = Field(
        default=("any", "any"), description="per view; any: one of the four for each dialogue, drawn at each step"
    )
    ratio: tuple[Share, Share] = Field(
        default=(0.2, 0.2), description="share of each dialogue's nodes or edges, per view"
    )


SETTINGS = GraphCLSettings
