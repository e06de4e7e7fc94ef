"""AD-GCL's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings


class ADGCLSettings(ContrastSettings):
    """An augmenter learns which edges to drop, against the encoder (Suresh et al. 2021)."""

    kind: Literal["ad_gcl"] = "ad_gcl"
    regulariser: float = Field(default=1.0, ge=0, description="lambda_reg: what the augmenter pays for dropping all")
    learning_rate: float = Field(default=1e-3, gt=0, description="of the augmenter's own Adam")
    hidden: int = Field(default=64, ge=1, description="width of the edge classifier's hidden layer")


SETTINGS = ADGCLSettings
