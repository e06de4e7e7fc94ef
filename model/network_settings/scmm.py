"""Size and switches of SCMM, reconstructed from its abstract."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Space


class SCMMSettings(NetworkSettings):
    """SCMM's size and switches. None of them is published: the paper's code and its numbers were not found."""

    kind: Literal["scmm"] = "scmm"
    width: int = Field(default=256, ge=2, description="D")
    heads: int = Field(default=8, ge=1)
    feed_forward: int = Field(default=2048, ge=1, description="of the long path's Transformer layer")
    context: Literal["adaptive", "long", "short", "independent"] = Field(
        default="adaptive", description="select among the three paths, or take one"
    )
    interaction: Literal["adaptive", "full", "partial", "biased"] = Field(
        default="adaptive", description="select among the three, or take one"
    )
    hard: bool = Field(default=False, description="select one path (straight-through Gumbel), not a mean")
    short: Literal["gru", "attention"] = Field(
        default="gru", description="the short path: over the dialogue, or attention within short_window"
    )
    short_window: int = Field(default=5, ge=1, description="utterances to either side")
    speakers: int = Field(default=9, ge=1, description="speaker embeddings; speakers beyond count as the last")
    dropout: float = Field(default=0.3, ge=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> SCMMSettings:
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width must be even and a multiple of heads ({self.heads})")
        return self


SETTINGS = SCMMSettings

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((128, 256, 512)),
    "model.feed_forward": Choice((512, 2048)),
}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    corpus: {
        "model": {},
        "train": {
            "learning_rate": 1e-4,
            "weight_decay": 1e-5,
            "batch_size": 32,
            "epochs": 60,
            "patience": 60,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 5.0,
        },
    }
    for corpus in ("iemocap", "meld")
}
"""Nothing was released: these are this project's own choice."""

SET_BY_HAND: dict[str, dict[str, object]] = {"model": {"centred": ["audio"]}}
"""Leave one session out over IEMOCAP's training dialogues (seed 0): 58.94, and 56.78 with the recordings' levels."""
