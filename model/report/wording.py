"""Numbers and names as the report and the table print them."""

from __future__ import annotations

from bigfusion.model.scoring.results import Metrics
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import numbered

_SPLITS = {Split.TRAIN: "training", Split.VALID: "validation", Split.TEST: "test"}

ON_VALIDATION = "scored on validation, on which each epoch was chosen: the scores are too high"


def seeds_of(metrics: Metrics) -> str:
    """How many seeds were scored: ``3 seeds``, and that they are the same network if it is fitted at once."""
    same = metrics.fitted_at_once and len(metrics.seeds) > 1
    return numbered(len(metrics.seeds), "seed") + ", the same fit for each" * same


def points(fraction: float) -> str:
    """A score in points. ``0.6717`` is ``67.17``."""
    return f"{100 * fraction:.2f}"


def machine(recorded: str) -> str:
    """A machine's name as runs record it: always with ``threads``, also for one."""
    return recorded.removesuffix("s") if recorded.endswith(" 1 threads") else recorded


def split_name(split: Split) -> str:
    """A split as a word."""
    return _SPLITS[split]
