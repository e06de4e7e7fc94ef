"""What an encoder gave for each moment of an utterance: rows of numbers, each with its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frames:
    """The frames of one utterance under one extractor, in their order; padding is never among them.

    Shapes: ``values`` (T, F) float32; ``times`` (T,) float64: the second, from the beginning of the utterance, at which
    each frame begins. ``None``: they have no times, as a transcript's tokens. ``columns``: the names of the F numbers,
    if they have any.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64] | None
    columns: tuple[str, ...] = ()


NO_SPAN = (-1, -1)
"""The span of a token that stands for no character of the transcript, as a special one."""


@dataclass(frozen=True, kw_only=True)
class TokenFrames(Frames):
    """The frames of a transcript's tokens.

    Shape: ``spans`` (T, 2) int32: the characters of the transcript that each token stands for, from the first to before
    the second, counted from 0 in Unicode characters; :data:`NO_SPAN`: it stands for none.
    """

    spans: NDArray[np.int32]


def spans_of(frames: Frames) -> NDArray[np.int32] | None:
    """The spans of a transcript's tokens, (T, 2). ``None``: other frames, or tokens stored before there were spans."""
    return frames.spans if isinstance(frames, TokenFrames) else None
