"""AutoGCL's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings


class AutoGCLSettings(ContrastSettings):
    """Two generators learn which nodes to keep, drop and mask (Yin et al. 2022).

    AutoGCL classifies both views as well: ``classify`` = 2 gives its three cross-entropies equal weights.
    """

    kind: Literal["auto_gcl"] = "auto_gcl"
    disagreement: float = Field(
        default=0.1, ge=0, description="lambda_sim: weight of 1 less the share of nodes that one view alone drops"
    )
    hidden: int = Field(default=64, ge=1, description="width of the generators' layers")
    keep: float = Field(default=2.0, description="logit of keeping at the start; those of the others are 0")


SETTINGS = AutoGCLSettings
