"""Numbers and names as the report and the table print them."""

from __future__ import annotations

from bigfusion.pipeline.schema import Split

_SPLITS = {Split.TRAIN: "training", Split.VALID: "validation", Split.TEST: "test"}

ON_VALIDATION = "scored on validation, on which each epoch was chosen: the scores are too high"


def points(fraction: float) -> str:
    """A score in points. ``0.6717`` is ``67.17``."""
    return f"{100 * fraction:.2f}"


def machine(recorded: str) -> str:
    """A machine's name as runs record it: always with ``threads``, also for one."""
    return recorded.removesuffix("s") if recorded.endswith(" 1 threads") else recorded


def split_name(split: Split) -> str:
    """A split as a word."""
    return _SPLITS[split]
