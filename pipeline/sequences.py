"""What an encoder gave for each moment of an utterance: rows of numbers, each with its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frames:
    """The frames of one utterance under one extractor, in their order; padding is never among them.

    Shapes: ``values`` (T, F) float32; ``times`` (T,) float64: the second, from the beginning of the utterance, at which
    each frame begins. ``None``: they have no times, as a transcript's tokens. ``columns``: the names of the F numbers,
    if they have any.
    """

    values: NDArray[np.float32]
    times: NDArray[np.float64] | None
    columns: tuple[str, ...] = ()
