"""What a reader of a score should know about a network's settings."""

from __future__ import annotations

from bigfusion.model.network_settings.base import NetworkSettings


def notes(settings: NetworkSettings) -> tuple[str, ...]:
    """That these settings stand in for another network's, if they do."""
    named = getattr(settings, "instead_of", "")
    if not named:
        return ()
    return (
        "single utterances: no dialogue has two, so there is no context and no graph; trained is a discriminant"
        f' analysis in place of {named} (model.single_utterances = "network": that one). It learns from the validation'
        " utterances too; these are judged by a fit without them.",
    )
