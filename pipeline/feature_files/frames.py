"""Frame by frame features, padded with zeros to one length -> one row an utterance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_of_real_frames(frames: NDArray[Any], real: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The mean over the frames that ``real`` (N, T) marks, number by number over those that are finite.

    ``frames`` is (N, T, F). An utterance without a real frame that differs from zero becomes NaN, and so does a number
    that is finite in none of its frames. Shape: (N, F), float32, summed in float64.
    """
    rows = np.full((frames.shape[0], frames.shape[2]), np.nan, dtype=np.float32)
    for row, (values, keep) in enumerate(zip(frames, real, strict=True)):  # one by one: a file may be large
        known = np.asarray(values)[keep].astype(np.float64)  # (T', F)
        finite = np.isfinite(known)
        counts = finite.sum(axis=0)
        if (known != 0).any():
            total = np.where(finite, known, 0).sum(axis=0)
            rows[row] = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return rows


def not_padding(frames: NDArray[Any]) -> NDArray[np.bool_]:
    """The frames that are not all zero. Shape: (N, T)."""
    found = np.zeros(frames.shape[:2], dtype=np.bool_)
    for row, values in enumerate(frames):  # one by one: a file may be large
        found[row] = (values != 0).any(axis=1)
    return found


def by_lengths(filled: NDArray[np.bool_], lengths: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The first ``lengths`` frames, or the last ones if the padding stands in front; and which rows fit neither.

    ``filled`` (N, T) are the frames that are no padding. A row fits neither if some lie on both sides of its length.
    Shapes: (N, T), (N,).
    """
    steps, number = np.arange(filled.shape[1]), filled.shape[1]
    kept: NDArray[np.int64] = np.minimum(lengths, number).reshape(-1, 1)  # a longer utterance was cut
    first, last = steps < kept, steps >= number - kept  # (N, T)
    behind = np.any(filled & ~first, axis=1, keepdims=True)  # (N, 1)
    before = np.any(filled & ~last, axis=1, keepdims=True)
    return np.where(behind, last, first), np.logical_and(behind, before)[:, 0]
