"""What a training's numbers depend on of the code: entries for :func:`code_digests`."""

from __future__ import annotations

from bigfusion.model.settings import ModelSettings, TrainSettings


def training_entries(model: ModelSettings, train: TrainSettings) -> tuple[str, ...]:
    """The training loop with the network that the settings choose, and the settings' own code."""
    return ("bigfusion.model.training.train:train", *model.code_entries(), *train.code_entries())
