"""Numbers and names as the report and the table print them."""

from __future__ import annotations

from bigfusion.pipeline.schema import Split

_SPLITS = {Split.TRAIN: "training", Split.VALID: "validation", Split.TEST: "test"}


def points(fraction: float) -> str:
    """A score in points. ``0.6717`` is ``67.17``."""
    return f"{100 * fraction:.2f}"


def split_name(split: Split) -> str:
    """A split as a word."""
    return _SPLITS[split]


def count(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number} {noun}" + ("s" if number != 1 else "")


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
