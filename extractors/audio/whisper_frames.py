"""Whisper's vector of a turn with the encoder's frames that it is pooled from, 50 a second, and their times.

Frame k of a window begins k times 20 ms after it: the grid that Whisper's own time stamps count in.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.audio.turn_times import times_of
from bigfusion.extractors.audio.whisper import FRAME, WhisperExtractor, _Encoder
from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.frames import Kept, framed, with_code
from bigfusion.pipeline.schema import Utterance


class FramedWhisperExtractor(WhisperExtractor):
    """A turn's mean over Whisper's encoder frames, and these. Shape of the frames: (T, D)."""

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    @cached_property
    def _encoder(self) -> _Encoder:
        return cast(_Encoder, _Keeping(super()._encoder))

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        kept = cast(_Keeping, self._encoder).kept
        kept.windows = []
        outcome = super()._outcome(utterance, stop)
        windows, kept.windows = kept.windows, []
        if not isinstance(outcome, Feature):
            return outcome
        times = times_of([(samples, len(frames)) for samples, frames in windows], FRAME)
        return framed(outcome, np.concatenate([frames for _, frames in windows]), times)


class _Keeping:
    """An encoder that keeps what it gives, thread by thread."""

    def __init__(self, encoder: _Encoder) -> None:
        self._encoder = encoder
        self.kept = Kept()

    def frames(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """The frames of a window's own sound. Shapes: (n,) -> (T, D)."""
        found = self._encoder.frames(window)
        self.kept.windows.append((len(window), found))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)
