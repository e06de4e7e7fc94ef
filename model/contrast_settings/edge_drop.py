"""A control: random edges are dropped."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class EdgeDropSettings(ContrastSettings):
    """Drop random edges, independently in each view."""

    kind: Literal["edge_drop"] = "edge_drop"
    ratio: tuple[Share, Share] = Field(default=(0.2, 0.2), description="share of each dialogue's edges, per view")


SETTINGS = EdgeDropSettings
PRINTED_NAME = "uniform edge drop"
NOTE = "the control: random edges are dropped"
