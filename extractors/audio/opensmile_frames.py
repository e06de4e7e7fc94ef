"""openSMILE's functionals with the low-level descriptors that they summarise, 100 rows a second, and their times.

The descriptors are the set's own (IS10 38, IS13 65, emobase 26, eGeMAPSv02 25), smoothed as the functionals read them.
A row's time is openSMILE's: the second at which its window begins. At the end the engine may give two rows one time.
"""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.audio.opensmile import RATE, AudioExtractor, AudioSettings
from bigfusion.extractors.base import ExtractorSpec, Failure, Feature, Outcome
from bigfusion.extractors.frames import FramedFeature, with_code
from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.sequences import Frames


class FramedAudioExtractor(AudioExtractor):
    """Functionals, and the low-level descriptors as frames. Shape of the frames: (T, D)."""

    def __init__(self, settings: AudioSettings) -> None:
        super().__init__(settings)
        self._describing = threading.local()

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    def _functionals(self, samples: NDArray[np.float32], name: str, note: str = "") -> Outcome:
        outcome = super()._functionals(samples, name, note)
        if not isinstance(outcome, Feature):
            return outcome
        table = self._descriptors().process_signal(samples, RATE)
        values = table.to_numpy(np.float32)  # (T, D)
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values).all(0))[0])
            reason = f"{name}: expected finite descriptors, found some that are not, {table.columns[at]} first"
            return Failure(Status.CORRUPT_MEDIA, reason)
        times = table.index.get_level_values("start").total_seconds().to_numpy(np.float64)
        frames = Frames(values, times, tuple(map(str, table.columns)))
        return FramedFeature(vector=outcome.vector, note=outcome.note, frames=frames)

    def _descriptors(self) -> Any:
        """This thread's own engine for the descriptors."""
        if not hasattr(self._describing, "engine"):
            import opensmile

            feature_set = opensmile.FeatureSet[self._settings.feature_set]
            self._describing.engine = opensmile.Smile(feature_set, opensmile.FeatureLevel.LowLevelDescriptors)
        return self._describing.engine
