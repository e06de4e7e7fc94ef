"""What the settings of every contrast share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from bigfusion.pipeline.settings import Settings


class ContrastSettings(Settings):
    """Graph contrastive learning (Eqs. 1-3, 12). A subclass sets ``kind`` to its file's name and makes the views."""

    kind: str
    enabled: bool = True
    weight: float = Field(default=0.5, ge=0, description="lambda of Eq. 12")
    temperature: float = Field(default=1.0, gt=0)
    pair: Literal["views", "original"] = Field(
        default="views", description="the two views with each other, or the original with each view"
    )
    positives: Literal["node", "label"] = Field(
        default="node", description="the same node in the other graph (Eqs. 1, 2), or every node of its label in both"
    )
    negatives: Literal["dialogue", "batch"] = "dialogue"
    classify: float = Field(default=0.0, ge=0, description="weight of the views' own cross-entropy, beside Eq. 12")

    def code_entries(self) -> Iterator[str]:
        """The code that the numbers depend on. Of the contrasts it is this one's file alone."""
        yield from super().code_entries()
        yield f"bigfusion.model.contrast.{self.kind}:CONTRAST"


SHARED = ContrastSettings
EACH_ITS_OWN: frozenset[str] = frozenset()
