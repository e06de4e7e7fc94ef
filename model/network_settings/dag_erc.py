"""Size of DAG-ERC."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.spaces import DROPOUT, TRAINING, Choice, Range, Space


class DAGERCSettings(NetworkSettings):
    """DAG-ERC's size; the defaults are those released for IEMOCAP."""

    kind: Literal["dag_erc"] = "dag_erc"
    width: int = Field(default=300, ge=1, description="D")
    layers: int = Field(default=4, ge=1, description="L")
    reach: int = Field(default=1, ge=1, description="omega: utterances of the same speaker that a predecessor may be")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="before the logits")


SETTINGS = DAGERCSettings

PRINTED_NAME = "DAG-ERC"

SEARCHABLE: Space = {
    **TRAINING,
    **DROPOUT,
    "model.width": Choice((150, 300)),
    "model.layers": Range(1, 6),
}

RELEASED: dict[str, dict[str, dict[str, object]]] = {
    "iemocap": {
        "model": {"modalities": ["text"]},
        "train": {
            "learning_rate": 5e-4,
            "weight_decay": 0.0,
            "batch_size": 16,
            "epochs": 30,
            "patience": 30,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 5.0,
        },
    },
    "meld": {
        "model": {"modalities": ["text"], "layers": 2, "dropout": 0.1},
        "train": {
            "learning_rate": 1e-5,
            "weight_decay": 0.0,
            "batch_size": 64,
            "epochs": 70,
            "patience": 70,
            "warmup": 0.0,
            "schedule": "constant",
            "clip": 5.0,
        },
    },
}
"""The released numbers of each corpus that are not defaults. AdamW without decay, as released, is Adam."""
