"""The speaker's face as one vector with those of the sampled frames that it is pooled from, and their times.

There is a row for each sampled frame that shows the speaker's face. Its time is that of the frame: the second, from the
turn's beginning, at which it is first shown (or sampled again, while a still lasts).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import ExtractorSpec, Feature
from bigfusion.extractors.frames import framed, with_code
from bigfusion.extractors.visual.speaker_face import SpeakerViewer, VisualExtractor
from bigfusion.extractors.visual.times import since
from bigfusion.pipeline.schema import Utterance

if TYPE_CHECKING:
    from bigfusion.extractors.visual.tracking import Track


class FramedVisualExtractor(VisualExtractor):
    """Facial features of the utterance's speaker, frame by frame and pooled. Shape of the frames: (T, 342)."""

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    def viewer(self, utterance: Utterance) -> SpeakerViewer:
        """What follows the faces of the utterance's clip, and keeps their features."""
        return _FramedViewer(self, utterance)


class _FramedViewer(SpeakerViewer):
    def feature(self, speaker: Track, features: NDArray[np.float32], note: str) -> Feature:
        """The feature, with the rows that it was pooled from."""
        times = since(self.span, [self.moments[number] for number in speaker.frames])
        return framed(super().feature(speaker, features, note), features, times)
