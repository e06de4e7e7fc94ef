"""Size of AdaIGN with content policies, and its released presets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Space


class AdaIGNSettings(NetworkSettings):
    """Size of AdaIGN with content policies; the defaults are those released for IEMOCAP."""

    kind: Literal["adaign"] = "adaign"
    width: int = Field(default=200, ge=2, description="D")
    graph_width: int = Field(default=100, ge=1, description="of the graph convolution")
    layers: int = Field(default=16, ge=1, description="of the graph convolution")
    alpha: float = Field(default=0.2, ge=0, le=1, description="share of the first state in each layer")
    decay: float = Field(default=0.5, gt=0, description="lambda: layer l is transformed by ln(lambda / l + 1)")
    dropout: float = Field(default=0.4, ge=0, lt=1)
    recurrence: bool = Field(default=True, description="a BiGRU over the text; without it no utterance sees later ones")
    party: bool = Field(default=False, description="a BiGRU over each speaker's own utterances, as released for MELD")
    speakers: int = Field(
        default=2,
        ge=1,
        description="rows of the speaker table, the last for all later ones; unset: as many as the corpus has, 2 to 9",
    )
    speaker_width: int = Field(default=16, ge=1, description="of a speaker's vector beside a policy's utterance")
    text_share: float = Field(default=0.8, ge=0, description="what the text is multiplied by before the classifier")
    other_share: float = Field(default=0.1, ge=0, description="what audio and visual are multiplied by")
    gumbel: bool = Field(default=True, description="whether training draws the policies")
    temperature: float = Field(default=5.0, gt=0, description="of the draws, in the first epoch")
    cooling: float = Field(default=0.965, gt=0, le=1, description="of the temperature, after each epoch")
    gamma: float = Field(default=0.5, ge=0, description="of the focal loss")
    maintain: float = Field(default=0.6, ge=0, description="weight of keeping audio, visual and the original graph")
    drop: float = Field(default=0.1, ge=0, description="weight of dropping them")
    important: float = Field(default=0.9, ge=0, description="weight of context from the same speaker")
    unimportant: float = Field(default=0.2, ge=0, description="weight of context from the others")
    class_weights: float = Field(default=1.0, ge=0, description="power of the classes' inverse frequencies; 0: none")

    @model_validator(mode="after")
    def _even(self) -> AdaIGNSettings:
        if self.width % 2:
            raise ValueError("width must be even: half of it is each direction's")
        return self


SETTINGS = AdaIGNSettings

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((100, 200, 300)),
    "model.graph_width": Choice((50, 100, 200)),
    "model.layers": Choice((2, 4, 8, 16)),
}

# no clipping and no early stopping is known
_TRAIN: dict[str, object] = {
    "batch_size": 32,
    "epochs": 60,
    "patience": 60,
    "schedule": "constant",
    "warmup": 0.0,
    "clip": 1e9,
}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    "iemocap": {"model": {}, "train": {**_TRAIN, "learning_rate": 3e-4, "weight_decay": 1e-4}},
    "meld": {
        "model": {"layers": 32, "party": True, "speakers": 9, "gamma": 1.0, "class_weights": 0.0},
        "train": {**_TRAIN, "learning_rate": 1e-3, "weight_decay": 5e-4},
    },
}
