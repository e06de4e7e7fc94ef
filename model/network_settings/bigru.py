"""The size of the biGRU baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Range, Space


class BiGRUSettings(NetworkSettings):
    """Bidirectional GRU layers over the fused utterances."""

    kind: Literal["bigru"] = "bigru"
    width: int = Field(default=128, ge=2, description="D, both directions together")
    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    audio_width: int | None = Field(
        default=None, ge=1, description="a trained reduction of the audio features, as the paper's; none: as stored"
    )
    feature_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of the features' numbers that is left out"
    )

    @model_validator(mode="after")
    def _even(self) -> BiGRUSettings:
        if self.width % 2:
            raise ValueError("width must be even: half of it is each direction's")
        return self


SETTINGS = BiGRUSettings

PRINTED_NAME = "biGRU"

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((64, 128, 256)),
    "model.layers": Range(1, 3),
    "model.feature_dropout": Range(0.0, 0.5),
}
