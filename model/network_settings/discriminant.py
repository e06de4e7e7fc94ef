"""Settings of the discriminant analysis."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import Range, Space


class DiscriminantSettings(NetworkSettings):
    """Linear discriminant analysis of single utterances, with a shrunken covariance.

    Several features of a modality stand side by side: ``fusion`` and ``fusion_width`` change nothing.
    """

    run_only: ClassVar[frozenset[str]] = frozenset({"instead_of", "fusion", "fusion_width"})

    kind: Literal["discriminant"] = "discriminant"
    shrinkage: float = Field(
        default=0.5, gt=0, le=1, description="share of the covariance that is the same in all directions"
    )
    instead_of: str = Field(
        default="", description="the network that it stands in for, on a corpus of single utterances"
    )

    @property
    def fitted_at_once(self) -> bool:
        """It is solved once."""
        return True

    @property
    def learns_from_validation(self) -> bool:
        """It chooses nothing on them."""
        return True


SETTINGS = DiscriminantSettings

PRINTED_NAME = "Discriminant analysis"

NOTE = "learns from the validation utterances too, since it chooses nothing on them"

SEARCHABLE: Space = {"model.shrinkage": Range(0.02, 0.9)}  # it is fitted at once: no step depends on training
