"""The code that the numbers of a training depend on, as entries for :func:`code_digests`."""

from __future__ import annotations

from bigfusion.model.settings import ModelSettings, TrainSettings


def training_entries(model: ModelSettings, train: TrainSettings) -> tuple[str, ...]:
    """The training loop, the network that the settings choose, and the code of the settings."""
    return ("bigfusion.model.training.train:train", *model.code_entries(), *train.code_entries())


NO_NUMBER = (
    "bigfusion.model.training.epoch_logs:epoch_logs",
    "bigfusion.model.training.train:fitting",
    "bigfusion.model.runs.checkpoint:absent_rows",
)
"""What training calls that changes no number. What ``fitting`` decides is the network whose code and settings count."""
