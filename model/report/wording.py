"""Numbers and names as the report and the table print them."""

from __future__ import annotations

from bigfusion.pipeline.schema import Split

_SPLITS = {Split.TRAIN: "training", Split.VALID: "validation", Split.TEST: "test"}

ON_VALIDATION = "scored on validation, on which each epoch was chosen: the scores are too high"


def points(fraction: float) -> str:
    """A score in points. ``0.6717`` is ``67.17``."""
    return f"{100 * fraction:.2f}"


def split_name(split: Split) -> str:
    """A split as a word."""
    return _SPLITS[split]
