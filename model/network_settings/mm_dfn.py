"""Size and switches of MM-DFN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Space


class MMDFNSettings(NetworkSettings):
    """MM-DFN's size and switches; the defaults are the released code's, with its IEMOCAP script's speaker weights."""

    kind: Literal["mm_dfn"] = "mm_dfn"
    width: int = Field(default=200, ge=2, description="of each modality's vector")
    graph_width: int = Field(default=100, ge=1, description="of the graph's layers")
    layers: int = Field(default=16, ge=1, description="K")
    alpha: float = Field(default=0.2, ge=0, le=1, description="share of H_0 in every layer")
    decay: float = Field(default=0.5, gt=0, description="lambda: theta_k = ln(lambda / k + 1)")
    gate: bool = Field(default=True, description="dynamic fusion; without it the layers are MMGCN's")
    text_speaker: float = Field(default=1.0, ge=0, description="weight of the party's state in text")
    audio_speaker: float = Field(default=3.0, ge=0, description="the same in audio")
    visual_speaker: float = Field(default=0.0, ge=0, description="the same in the picture")
    dropout: float = Field(default=0.4, ge=0, lt=1)
    gamma: float = Field(default=0.5, ge=0, description="of the focal loss; 0: cross-entropy")
    class_weights: float = Field(default=1.0, ge=0, description="power of 1 / frequency that weighs a class; 0: none")

    @model_validator(mode="after")
    def _even(self) -> MMDFNSettings:
        if self.width % 2:
            raise ValueError("width must be even: half of it is each direction's of the GRUs")
        return self


SETTINGS = MMDFNSettings

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((100, 200, 300)),
    "model.graph_width": Choice((50, 100, 200)),
    "model.layers": Choice((2, 4, 8, 16)),
}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    "iemocap": {
        "model": {},
        "train": {
            "learning_rate": 3e-4,
            "weight_decay": 1e-4 / 6,
            "batch_size": 32,
            "epochs": 30,
            "patience": 5,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 1e9,
        },
    },
    "meld": {
        "model": {
            "layers": 32,
            "text_speaker": 1.5,
            "audio_speaker": 0.5,
            "visual_speaker": 0.5,
            "class_weights": 0.0,
        },
        "train": {
            "learning_rate": 5e-4,
            "weight_decay": 1e-4,
            "batch_size": 32,
            "epochs": 30,
            "patience": 5,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 1e9,
        },
    },
}
"""The code's defaults: the scripts are grids over depth, rate, decay, dropout and gamma; the winners are not given.

IEMOCAP's decay was 1e-4 beside a loss whose class weights, 1 / frequency of six classes, have a mean of 6 over the
training labels. Here the mean is 1, and the decay is as much smaller: it is part of the gradient, as the loss is.
"""
