"""VMA's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class VMASettings(ContrastSettings):
    """Mask nodes, not structure; the most similar nodes of the dialogue are positives too (Duan et al. 2023)."""

    kind: Literal["vma"] = "vma"
    rate: Share = Field(default=0.5, description="share of each dialogue's nodes that are masked, and contrasted")
    similar: Literal["kernel", "features"] = Field(
        default="kernel", description="which nodes are similar: by the graph's kernel, or by their inputs' cosine"
    )
    alike: int = Field(default=2, ge=1, description="t: positives of each node, itself first")
    momentum: float = Field(default=0.99, ge=0, le=1, description="of the target encoder, a moving average")


SETTINGS = VMASettings
