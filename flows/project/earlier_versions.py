"""Runs that an earlier version trained and that this version reads otherwise."""

from __future__ import annotations

import logging

from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.runs.checkpoint import CheckpointFacts

log = logging.getLogger("bigfusion")


def say_if_earlier(run: str, facts: CheckpointFacts) -> None:
    """Warn of a run whose linear classifier learned from means that counted an absent feature as 0."""
    if facts.absent is None and isinstance(facts.model, BigFusionSettings) and facts.model.graph.neighbourhood.enabled:
        log.warning(
            "%s: an earlier version trained it, and its linear classifier counted absent features as 0: where one is"
            " absent, it predicts otherwise than when it was scored; train it again",
            run,
        )
