"""What a reader of a score should know about a network's settings."""

from __future__ import annotations

from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.pipeline.schema import Modality


def keeps_texts(settings: NetworkSettings) -> bool:
    """Whether a trained network holds the features and labels of the training texts, which vote.

    A name in ``features`` without its modality is taken for a text's: better one warning too many.
    """
    if not isinstance(settings, BigFusionSettings) or not settings.retrieval.enabled:
        return False
    others = {name for name in Modality if name != Modality.TEXT}
    read = [name for name in settings.features or (Modality.TEXT,) if name.partition(".")[0] not in others]
    return Modality.TEXT in settings.modalities and bool(read)


def notes(settings: NetworkSettings) -> tuple[str, ...]:
    """What these settings stand in for, what they learn from besides the training split, and what they keep of it."""
    if keeps_texts(settings):
        return (
            "training utterances with like words vote (model.retrieval): the checkpoint holds the features of their"
            " texts, and where a corpus repeats its lines the votes know them.",
        )
    if not isinstance(settings, DiscriminantSettings):
        return ()
    learns = "It learns from the validation utterances too; these are judged by a fit without them."
    if not settings.instead_of:
        return (f"a discriminant analysis of each utterance alone. {learns}",)
    return (
        "single utterances: no dialogue has two, so there is no context and no graph; trained is a discriminant"
        f' analysis in place of {settings.instead_of} (model.single_utterances = "network": that one). {learns}',
    )
