"""The settings of :mod:`finetuning.training`. They have their own module: the training loads much, and the code of the
text extractor is part of every text feature's fingerprint.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from bigfusion.pipeline.settings import Settings


class FinetuneSettings(Settings):
    """How the text encoder is fine-tuned."""

    run_only: ClassVar[frozenset[str]] = frozenset({"seeds", "device", "threads"})

    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="the best on validation is kept")
    learning_rate: float = Field(default=2e-5, gt=0)
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="each layer's rate is this share of that of the layer above it"
    )
    classes_rate: float = Field(default=1.0, gt=0, description="the classes' rate, as a multiple of the learning rate")
    weight_decay: float = Field(default=0.01, ge=0)
    batch_size: int = Field(default=32, ge=1, description="utterances")
    epochs: int = Field(default=5, ge=1)
    patience: int = Field(default=2, ge=1, description="epochs without a better validation WF1")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps with a rising rate")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="before the classes")
    class_weights: bool = Field(default=False, description="rare classes weigh more: inverse to their frequency")
    frozen_layers: int = Field(
        default=0, ge=0, description="so many of the lowest layers, and what lies below them, stay as they are"
    )
    gradient_checkpointing: bool = Field(default=False, description="less memory, a third more time")
    precision: Literal["float32", "bfloat16"] = Field(default="float32", description="bfloat16: mixed, weights float32")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: torch's own choice")
