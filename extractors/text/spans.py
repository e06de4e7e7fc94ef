"""Where the tokens of a transcript lie in it: the characters that each stands for.

The offsets are the tokenizer's own, which count characters of the text as it was given, before the tokenizer
normalises it. White space around a token is left out, so that all tokenizers mean the same by a word. A token that
stands for no character of the transcript (a special one, a prompt's, a speaker's name) has the span :data:`NO_SPAN`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import Feature
from bigfusion.extractors.frames import FramedFeature
from bigfusion.pipeline.sequences import NO_SPAN, Frames, TokenFrames


def with_spans(feature: Feature, values: NDArray[np.float32], spans: NDArray[np.int32] | None) -> FramedFeature:
    """A feature with the rows of its tokens, and their spans if the tokenizer tells them. Shapes: (T, D), (T, 2)."""
    frames = Frames(values, None) if spans is None else TokenFrames(values, None, spans=spans)
    return FramedFeature(vector=feature.vector, note=feature.note, frames=frames)


def token_spans(
    tokenizer: Any, transcript: str, *, before: str = "", special: bool = True, longest: int | None = None,
    lower: bool = False,
) -> NDArray[np.int32] | None:  # fmt: skip
    """The characters of ``transcript`` that each token of ``before`` + the stripped transcript stands for.

    ``special``: with the tokenizer's special tokens. ``longest``: cut as the tokenizer cuts. ``lower``: what is
    tokenized is written in lower case, which may have more characters. Shape: (N, 2) int32, start and end, counted from
    0 in ``transcript`` as it is given. ``None``: the tokenizer (one without a fast form) tells no offsets.
    """
    if not tokenizer.is_fast:
        return None
    told = before + transcript.strip()
    place = np.arange(len(told))  # of each tokenized character, that in `told`
    if lower:
        place = np.repeat(place, [len(character.lower()) for character in told])
        told = told.lower()
    cut: dict[str, Any] = {} if longest is None else {"truncation": True, "max_length": longest}
    found = tokenizer(
        told, add_special_tokens=special, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False,
        **cut,
    )  # fmt: skip
    shift = len(transcript) - len(transcript.lstrip()) - len(before)
    spans = np.full((len(found["input_ids"]), 2), NO_SPAN, np.int32)
    for token, ((start, end), is_special) in enumerate(
        zip(found["offset_mapping"], found["special_tokens_mask"], strict=True)
    ):
        if end > start and not is_special:
            first, last = max(int(place[start]) + shift, 0), int(place[end - 1]) + shift + 1
            spans[token] = _trimmed(transcript, first, last)
    return spans


def _trimmed(transcript: str, start: int, end: int) -> tuple[int, int]:
    """A span without the white space around it."""
    while start < end and transcript[start].isspace():
        start += 1
    while end > start and transcript[end - 1].isspace():
        end -= 1
    return (start, end) if end > start else NO_SPAN
