"""What a search may choose: a small typed space of settings, by dotted key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = str | float | bool


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``; whole ones if both are. ``log``: searched by their magnitude."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def extremes(self) -> tuple[Value, Value]:
        """The least and the greatest value."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of these values, from the least to the greatest if they have an order."""

    values: tuple[Value, ...]

    @property
    def extremes(self) -> tuple[Value, Value]:
        """The first and the last value."""
        return self.values[0], self.values[-1]


Space = Mapping[str, Range | Choice]
"""Settings by dotted key (``train.epochs``, ``model.width``)."""

TRAINING: Space = {
    "train.learning_rate": Range(3e-5, 3e-3, log=True),
    "train.weight_decay": Range(1e-8, 1e-2, log=True),
    "train.batch_size": Choice((2, 4, 8, 16)),
    "train.epochs": Range(6, 40),
}
"""What every network that is trained by gradient steps is searched for."""

DROPOUT: Space = {"model.dropout": Range(0.0, 0.6)}
