"""Size of GraphSmile, its sentiment of each class, and its released presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Range, Space
from bigfusion.pipeline.errors import TrainingError

_NEGATIVE = """
    negative sad sadness ang anger angry mad fru frustrated frustration fear fearful scared anxiety disgust disgusted
    boredom bored
"""
_NEUTRAL = "neutral neu calm no_emotion"
_POSITIVE = "positive hap happy happiness joy joyful exc excited excitement peaceful powerful"
_EITHER = "surprise surprised"
SENTIMENTS: dict[str, Literal[-1, 0, 1, 2]] = {
    **dict.fromkeys(_NEGATIVE.split(), 0),
    **dict.fromkeys(_NEUTRAL.split(), 1),
    **dict.fromkeys(_POSITIVE.split(), 2),
    **dict.fromkeys(_EITHER.split(), -1),
}
"""The sentiment of each emotion by the names of many corpora: IEMOCAP's as GraphSmile released them."""


class GraphSmileSettings(NetworkSettings):
    """GraphSmile's size; the defaults are those released for IEMOCAP."""

    kind: Literal["graphsmile"] = "graphsmile"
    width: int = Field(default=512, ge=1, description="H")
    layers: int = Field(default=7, ge=1, description="hops")
    window: int = Field(default=17, ge=0, description="utterances on either side that an edge may bridge")
    dropout: float = Field(default=0.2, ge=0, lt=1)
    edge_weights: Literal["offset", "ones"] = Field(
        default="offset", description="a learnt weight for each distance in time, or none"
    )
    sentiments: tuple[Literal[-1, 0, 1, 2], ...] | None = Field(
        default=None,
        description="of each class in its order: 0 negative, 1 neutral, 2 positive, -1 not taught; "
        "none: by the classes' names",
    )
    sentiment_weight: float = Field(default=1.0, ge=0, description="of the loss of sentiments")
    shift_weight: float = Field(default=0.7, ge=0, description="of the loss of sentiment shifts")
    block: int = Field(default=19, ge=1, description="utterances among which shifts are predicted")

    def for_classes(self, labels: Sequence[str]) -> Self:
        """With the sentiments of these classes, unless they are set.

        Raises:
            TrainingError: a class's name tells nothing.
        """
        if self.sentiments is not None:
            return self
        for label in labels:
            if label.lower() not in SENTIMENTS:
                raise TrainingError(
                    f"label {label}: expected an emotion whose sentiment is known ({', '.join(sorted(SENTIMENTS))}); "
                    f"set model.sentiments: 0 negative, 1 neutral, 2 positive or -1 for each of {', '.join(labels)}"
                )
        return self.model_copy(update={"sentiments": tuple(SENTIMENTS[label.lower()] for label in labels)})


SETTINGS = GraphSmileSettings

PRINTED_NAME = "GraphSmile"

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((128, 256, 512)),
    "model.layers": Range(1, 8),
    "model.window": Range(3, 20),
}

# no clipping and no early stopping is known
_TRAIN: dict[str, object] = {"weight_decay": 1e-4, "batch_size": 16, "schedule": "constant", "warmup": 0.0, "clip": 1e9}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    "iemocap": {"model": {}, "train": {**_TRAIN, "learning_rate": 1e-4, "epochs": 120, "patience": 120}},
    "meld": {
        "model": {
            "width": 384,
            "layers": 5,
            "window": 3,
            "block": 3,
            "sentiment_weight": 0.5,
            "shift_weight": 0.2,
        },
        "train": {**_TRAIN, "learning_rate": 7e-5, "epochs": 50, "patience": 50},
    },
}
