"""An image encoder's vector of a turn with those of the sampled pictures that it is pooled from, and their times.

A row's time is that of its frame: the second, from the turn's beginning, at which it is first shown (or sampled again,
while a still lasts). On faces there is a row for each sampled frame that shows the speaker's face.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.compute import check
from bigfusion.extractors.files import Sha256
from bigfusion.extractors.frames import Kept, framed, with_code
from bigfusion.extractors.visual.image_encoder import (
    PATIENCE_SECONDS,
    SEARCHED,
    ImageEncoderExtractor,
    ImageEncoderSettings,
    _at_most,
    _square,
)
from bigfusion.extractors.visual.times import since
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.schema import MediaSpan, Utterance

if TYPE_CHECKING:
    from bigfusion.extractors.visual.detectors import Faces


class FramedImageEncoderExtractor(ImageEncoderExtractor):
    """A turn's pictures through an image encoder, and their pooled vector. Shape of the frames: (T, D).

    Reading is written out anew, because times have to be kept on the way; a test compares the vectors.
    """

    def __init__(self, settings: ImageEncoderSettings, sha256: Sha256) -> None:
        super().__init__(settings, sha256)
        self._kept = Kept()

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    def _outcome(self, utterance: Utterance, stop: threading.Event) -> Outcome:
        outcome = super()._outcome(utterance, stop)
        values, self._kept.values = self._kept.values, None
        if not isinstance(outcome, Feature) or utterance.visual is None:
            return outcome
        return framed(outcome, values, since(utterance.visual, self._kept.moments))

    def _frames(self, span: MediaSpan, stop: threading.Event, notes: list[str]) -> NDArray[np.float32]:
        vectors, moments, batch = [], list[float](), list[NDArray[np.uint8]]()
        for frame in read_frames(span, *self._how(), notes):
            check(stop)
            batch.append(frame.small)
            moments.append(frame.time)
            if len(batch) == self._settings.batch_size:
                vectors.append(self._encoder.encode(batch))
                batch = []
        if batch:
            vectors.append(self._encoder.encode(batch))
        self._kept.values, self._kept.moments = np.concatenate(vectors), moments
        return np.asarray(self._kept.values, np.float32)

    def _faces(self, span: MediaSpan, stop: threading.Event, notes: list[str]) -> NDArray[np.float32] | None:
        from bigfusion.extractors.visual.search import HELD, Search
        from bigfusion.extractors.visual.tracking import Tracker

        rate = self._settings.frames_per_second
        tracker, moments = Tracker(int(PATIENCE_SECONDS * rate)), list[float]()
        search: Search[NDArray[np.uint8]] = Search(self._detector, min(max(round(rate), 1), HELD))

        def track(picture: NDArray[np.uint8], faces: Faces) -> None:
            scale = max(max(picture.shape[:2]) / SEARCHED, 1.0)
            tracker.add(list(faces.boxes), [_square(picture, box * scale) for box in faces.boxes])

        for frame in read_frames(span, *self._how(), notes):
            check(stop)
            moments.append(frame.time)
            small = _at_most(frame.small, SEARCHED)
            least = self._settings.min_face * small.shape[1] / frame.grey.shape[1]
            for picture, faces in search.add(frame.small, small, least):
                track(picture, faces)
        for picture, faces in search.finish():
            track(picture, faces)
        speaker = tracker.prominent()
        if speaker is None:
            return None
        parts = range(0, len(speaker.crops), self._settings.batch_size)
        vectors = np.concatenate(
            [self._encoder.encode(speaker.crops[at : at + self._settings.batch_size]) for at in parts]
        )
        self._kept.values, self._kept.moments = vectors, [moments[number] for number in speaker.frames]
        return vectors
