"""An image encoder's vector of a turn with those of the sampled pictures that it is pooled from, and their times.

A row's time is that of its frame: the second, from the turn's beginning, at which it is first shown (or sampled again,
while a still lasts). On faces there is a row for each sampled frame that shows the speaker's face.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import ExtractorSpec, Feature
from bigfusion.extractors.frames import framed, with_code
from bigfusion.extractors.visual.image_encoder import ImageEncoderExtractor
from bigfusion.extractors.visual.times import since
from bigfusion.pipeline.schema import MediaSpan


class FramedImageEncoderExtractor(ImageEncoderExtractor):
    """A turn's pictures through an image encoder, and their pooled vector. Shape of the frames: (T, D)."""

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    def feature(
        self, span: MediaSpan, vectors: NDArray[np.float32], moments: Sequence[float], notes: list[str]
    ) -> Feature:
        """The vectors pooled, with themselves and their times."""
        return framed(super().feature(span, vectors, moments, notes), vectors, since(span, moments))
