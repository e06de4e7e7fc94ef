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
from bigfusion.extractors.files import Sha256
from bigfusion.extractors.frames import Kept, framed, with_code
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor, ImageEncoderSettings
from bigfusion.extractors.visual.times import since
from bigfusion.pipeline.schema import MediaSpan, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bigfusion.extractors.visual.tracking import Track
    from bigfusion.pipeline.media.pictures import Frame


class FramedImageEncoderExtractor(ImageEncoderExtractor):
    """A turn's pictures through an image encoder, and their pooled vector. Shape of the frames: (T, D)."""

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

    def _sampled(self, span: MediaSpan, notes: list[str]) -> Iterator[Frame]:
        self._kept.moments = moments = list[float]()
        for frame in super()._sampled(span, notes):
            moments.append(frame.time)
            yield frame

    def _frames(self, span: MediaSpan, stop: threading.Event, notes: list[str]) -> NDArray[np.float32]:
        self._kept.values = vectors = super()._frames(span, stop, notes)
        return vectors

    def _encoded(self, speaker: Track) -> NDArray[np.float32]:
        self._kept.values = vectors = super()._encoded(speaker)
        self._kept.moments = [self._kept.moments[number] for number in speaker.frames]
        return vectors
