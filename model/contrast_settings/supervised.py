"""A control: the labels say which nodes are alike."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.contrast_settings.base import ContrastSettings
from bigfusion.model.quantities import Share


class SupervisedSettings(ContrastSettings):
    """Drop random edges as ``edge_drop`` does; all nodes of the same label are positives."""

    kind: Literal["supervised"] = "supervised"
    positives: Literal["label"] = Field(default="label", description="every node of its label in both graphs")
    ratio: tuple[Share, Share] = Field(default=(0.2, 0.2), description="share of each dialogue's edges, per view")


SETTINGS = SupervisedSettings
PRINTED_NAME = "supervised"
NOTE = "the control: uniform edge drop, the labels say what is alike"
