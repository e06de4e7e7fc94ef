"""The times of sampled frames within their utterance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.schema import MediaSpan


def since(span: MediaSpan, moments: Sequence[float]) -> NDArray[np.float64]:
    """Seconds from the span's beginning, for moments in seconds from the file's first timestamp. Shape: (T,).

    A container rounds times: a frame that begins with the span may have one that lies a little before it.
    """
    return np.maximum(np.asarray(moments, np.float64) - (span.start or 0.0), 0.0)
