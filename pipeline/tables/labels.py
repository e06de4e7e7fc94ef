"""The emotions of the two benchmark corpora, in the order of the field's codes."""

from __future__ import annotations

from collections.abc import Sequence

MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""Codes 0-6."""

IEMOCAP = ("hap", "sad", "neu", "ang", "exc", "fru")
"""Codes 0-5, the six-way task."""


def corpus_of(labels: Sequence[str]) -> str | None:
    """``iemocap`` or ``meld``, if these are its classes in its order."""
    return {IEMOCAP: "iemocap", MELD: "meld"}.get(tuple(labels))
