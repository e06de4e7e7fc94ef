"""The speaker's face as one vector with those of the sampled frames that it is pooled from, and their times.

There is a row for each sampled frame that shows the speaker's face. Its time is that of the frame: the second, from the
turn's beginning, at which it is first shown (or sampled again, while a still lasts).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.files import Sha256, sha256_of
from bigfusion.extractors.frames import Kept, framed, with_code
from bigfusion.extractors.visual.speaker_face import VisualExtractor, VisualSettings
from bigfusion.extractors.visual.times import since
from bigfusion.pipeline.schema import MediaSpan, Utterance

if TYPE_CHECKING:
    from bigfusion.extractors.visual.embedder import FaceEmbedder
    from bigfusion.extractors.visual.tracking import Track, Tracker


class FramedVisualExtractor(VisualExtractor):
    """Facial features of the utterance's speaker, frame by frame and pooled. Shape of the frames: (T, 342)."""

    def __init__(self, settings: VisualSettings, sha256: Sha256 = sha256_of) -> None:
        super().__init__(settings, sha256)
        self._kept = Kept()

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    @cached_property
    def _embedder(self) -> FaceEmbedder:
        return cast("FaceEmbedder", _Keeping(super()._embedder, self._kept))

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        outcome = super()._outcome(utterance, stop)
        values, self._kept.values = self._kept.values, None
        if not isinstance(outcome, Feature) or utterance.visual is None:
            return outcome
        moments = [self._kept.moments[number] for number in self._kept.rows]
        return framed(outcome, values, since(utterance.visual, moments))

    def _follow(
        self, span: MediaSpan, stop: threading.Event, notes: list[str] | None = None
    ) -> tuple[Tracker, list[float]]:
        tracker, moments = super()._follow(span, stop, notes)
        self._kept.moments = moments
        return cast("Tracker", _Choosing(tracker, self._kept)), moments


class _Choosing:
    """A clip's tracks, which keep the numbers of the frames of the one that is chosen."""

    def __init__(self, tracker: Tracker, kept: Kept) -> None:
        self._tracker, self._kept = tracker, kept

    def prominent(self) -> Track | None:
        """The largest and most constant face."""
        return self._chosen(self._tracker.prominent())

    def talking(self, loudness: NDArray[np.floating]) -> Track | None:
        """The face whose mouth moves with the sound."""
        return self._chosen(self._tracker.talking(loudness))

    def _chosen(self, track: Track | None) -> Track | None:
        self._kept.rows = () if track is None else list[int](cast(Sequence[int], track.frames))
        return track

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tracker, name)


class _Keeping:
    """An embedder that keeps what it gives, thread by thread."""

    def __init__(self, embedder: FaceEmbedder, kept: Kept) -> None:
        self._embedder, self._kept = embedder, kept

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed faces. Shapes: (T, 64, 64) -> (T, 342)."""
        found = self._embedder.embed(faces)
        self._kept.values = found
        return found
