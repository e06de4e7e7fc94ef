"""A control: two views without any change."""

from __future__ import annotations

from typing import Literal

from bigfusion.model.contrast_settings.base import ContrastSettings


class IdenticalSettings(ContrastSettings):
    """Both views are the graph itself. This shows what a contrast does without its augmentation."""

    kind: Literal["identical"] = "identical"


SETTINGS = IdenticalSettings
PRINTED_NAME = "two identical views"
NOTE = "the control: two views without any change"
