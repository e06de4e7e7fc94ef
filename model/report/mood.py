"""The mean mood over time: how the probabilities of the labels are shared out in a window that slides over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigfusion.model.scoring.timeline import Timeline

_PART, _SHORTEST, _LONGEST = 20, 10.0, 180.0
"""The window is a twentieth of the recording, but at least 10 s and at most 3 min."""


@dataclass(frozen=True)
class Mood:
    """``shares`` (times, labels) sum to 1 at every time, or are NaN where nobody spoke within ``window`` seconds."""

    times: NDArray[np.float64]
    shares: NDArray[np.float64]
    window: float


def mood(timeline: Timeline, points: int = 241) -> Mood:
    """Average the probabilities of a recording over time.

    The share of a label at a time is its mean probability over the seconds spoken in the window around that time. If
    two people speak at once, the seconds of both count.
    """
    window = min(max(timeline.seconds / _PART, _SHORTEST), _LONGEST)
    times = np.linspace(0.0, timeline.seconds, points)
    spoken = [moment for moment in timeline.moments if moment.probabilities and moment.end > moment.start]
    if not spoken:
        return Mood(times, np.full((points, len(timeline.labels)), np.nan), window)
    values = np.array([[moment.probabilities[label] for label in timeline.labels] for moment in spoken])
    values /= values.sum(axis=1, keepdims=True)  # a file that was rounded still sums to 1
    starts, ends = (np.array([getattr(moment, name) for moment in spoken]) for name in ("start", "end"))
    knots, integrals = _integrals(starts, ends, values)
    low, high = times - window / 2, times + window / 2
    inside = np.stack([np.interp(high, knots, column) - np.interp(low, knots, column) for column in integrals.T], 1)
    seconds = inside.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Mood(times, np.where(seconds > 1e-6, np.clip(inside, 0, None) / seconds, np.nan), window)


def _integrals(
    starts: NDArray[np.float64], ends: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The probabilities' integrals over time, (knots, labels). They are straight lines between the knots."""
    edges = np.concatenate([starts, ends])
    order = np.argsort(edges, kind="stable")
    knots, slopes = edges[order], np.cumsum(np.concatenate([values, -values])[order], axis=0)
    grown = slopes[:-1] * np.diff(knots)[:, None]
    return knots, np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(grown, axis=0)])
