"""Size and switches of DialogueRNN."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Range, Space


class DialogueRNNSettings(NetworkSettings):
    """DialogueRNN's size and switches; the defaults are those released for IEMOCAP."""

    kind: Literal["dialogue_rnn"] = "dialogue_rnn"
    global_width: int = Field(default=500, ge=1, description="D_g, of the dialogue's state")
    party_width: int = Field(default=500, ge=1, description="D_p, of each party's state")
    emotion_width: int = Field(default=300, ge=1, description="D_e, of the emotion in each direction")
    hidden_width: int = Field(default=300, ge=1, description="D_h; the classifier's layer has two of them if two-way")
    dropout: float = Field(default=0.1, ge=0, lt=0.85, description="before the logits; 0.15 more on the emotions")
    state_dropout: float = Field(default=0.1, ge=0, lt=1, description="on every new state, which is carried on so")
    bidirectional: bool = Field(default=True, description="a second cell reads each dialogue backwards")
    attention: bool = Field(default=True, description="emotional attention over the whole dialogue")
    listener: bool = Field(default=False, description="parties that listen are updated too")
    class_weights: float = Field(default=1.0, ge=0, description="power of 1 / frequency that weighs a class; 0: none")


SETTINGS = DialogueRNNSettings

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.global_width": Choice((150, 300, 500)),
    "model.party_width": Choice((150, 300, 500)),
    "model.emotion_width": Choice((100, 300)),
    "model.state_dropout": Range(0.0, 0.4),
}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    "iemocap": {
        "model": {"modalities": ["text"]},
        "train": {
            "learning_rate": 1e-4,
            "weight_decay": 1e-5,
            "batch_size": 30,
            "epochs": 60,
            "patience": 60,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 1e9,
        },
    },
    "meld": {
        "model": {
            "modalities": ["text", "audio"],
            "global_width": 150,
            "party_width": 150,
            "emotion_width": 100,
            "hidden_width": 100,
            "class_weights": 0.0,
        },
        "train": {
            "learning_rate": 5e-4,
            "weight_decay": 1e-5,
            "batch_size": 30,
            "epochs": 100,
            "patience": 100,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 1e9,
        },
    },
}
"""The released numbers of each corpus that are not defaults. There was no early stopping and no clipping."""

SET_BY_HAND: dict[str, dict[str, object]] = {
    "model": {"attention": False},
    "train": {"batch_size": 16, "epochs": 20},
}
"""Emotional attention begins as a plain mean over the dialogue, and nothing of the utterance itself goes past it. Leave
one session out over IEMOCAP's training dialogues: 58.57 without, 55.18 with it (ten epochs of four dialogues a batch:
50.99). Its own batches have 30."""
