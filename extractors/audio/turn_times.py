"""The times of the frames of a turn that is read in windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.audio.turns import RATE


def times_of(windows: Sequence[tuple[int, int]], step: int) -> NDArray[np.float64]:
    """The second at which each frame begins, counted from the turn's beginning.

    ``windows`` are the samples and the frames of each window, in order. Frame k of a window begins k steps after it.
    Shape: (T,).
    """
    found, begin = [], 0
    for samples, frames in windows:
        found.append((begin + np.arange(frames) * step) / RATE)
        begin += samples
    return np.concatenate(found)
