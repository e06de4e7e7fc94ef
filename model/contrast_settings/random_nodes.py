"""A control: BIG-FUSION's views with nodes chosen by chance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class RandomNodesSettings(ContrastSettings):
    """Lower the weights of the edges at random nodes, drawn independently for each view."""

    kind: Literal["random_nodes"] = "random_nodes"
    rho: tuple[Share, Share] = Field(default=(0.4, 0.2), description="share of random nodes, per view")
    eta: float = Field(default=0.5, ge=0, le=1, description="weight of the edges that touch them")


SETTINGS = RandomNodesSettings
PRINTED_NAME = "random nodes"
NOTE = "the control: BIG-FUSION's views at random nodes"
