"""GCS's views."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class GCSSettings(ContrastSettings):
    """Keep the parts that are salient by the contrast's gradient, and drop some of the rest (Wei et al. 2023)."""

    kind: Literal["gcs"] = "gcs"
    rounds: int = Field(default=3, ge=1, description="K: each masks what was found so far and looks again")
    threshold: Share = Field(default=0.3, description="theta: a saliency above it is salient")
    keep: Share = Field(default=0.5, description="share of the nodes and edges that are not salient in a positive view")
    leak: Share = Field(default=0.1, description="share of the salient nodes and edges in the negative view")
    negative: float = Field(
        default=0.1, ge=0, description="weight of the contrast with the negative view, which is pushed away; 0: none"
    )
    warmup: Share = Field(default=0.1, description="share of the epochs that contrast the graph with edges dropped")
    warmup_drop: Share = Field(default=0.1, description="share of each dialogue's edges that is dropped meanwhile")


SETTINGS = GCSSettings
