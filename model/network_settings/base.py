"""What the settings of every network share."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import field_validator

from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.settings import Settings


class NetworkSettings(Settings):
    """Base of a network's settings. A subclass sets ``kind`` to its file's name: ``kind: Literal["x"] = "x"``."""

    kind: str
    modalities: tuple[Modality, ...] = (Modality.TEXT, Modality.AUDIO, Modality.VISUAL)

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError("modalities must name at least one of text, audio, visual, each once")
        return modalities

    def code_entries(self) -> Iterator[str]:
        """The code that the numbers depend on. Of the networks it is this one's file alone."""
        yield from super().code_entries()
        yield f"bigfusion.model.networks.{self.kind}:NETWORK"


SHARED = NetworkSettings
