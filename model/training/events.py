"""A seed's history as TensorBoard events, to watch a training.

``tensorboard --logdir RUN`` shows all seeds of a run side by side. ``history.jsonl`` is the record; no code reads the
events.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from bigfusion.model.runs.folder import Epoch

FOLDER = "tensorboard"


class Events:
    """Write epochs from ``first`` on. Events of these epochs that a killed process left are discarded."""

    def __init__(self, folder: Path, first: int) -> None:
        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()

    def write(self, epoch: Epoch) -> None:
        """Add one epoch, and flush it to disk."""
        for name, value in scalars(epoch).items():
            self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()


def scalars(epoch: Epoch) -> dict[str, float]:
    """The values of an epoch under the names that TensorBoard and MLflow show."""
    return {
        "loss/train": epoch.loss,
        **{f"loss/{name.replace('_', '-')}": value for name, value in epoch.parts.items()},
        "loss/valid": epoch.valid_loss,
        "valid/weighted F1": epoch.valid_weighted_f1,
        "valid/accuracy": epoch.valid_accuracy,
        "optimiser/learning rate": epoch.learning_rate,
        "optimiser/gradient norm": epoch.gradient_norm,
        "optimiser/seconds": epoch.seconds,
        **{f"firing/{layer}": rate for layer, rate in epoch.rates.items()},
    }
