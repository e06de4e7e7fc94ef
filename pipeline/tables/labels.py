"""The emotions of the two benchmark corpora, in the order of the field's codes."""

from __future__ import annotations

MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""Codes 0-6."""

IEMOCAP = ("hap", "sad", "neu", "ang", "exc", "fru")
"""Codes 0-5, the six-way task."""
