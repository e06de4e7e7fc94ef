"""The mean mood over time as a picture: the shares of the labels, one on top of the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bigfusion.model.report.clock import clock
from bigfusion.model.report.markup import Html, tag
from bigfusion.model.report.mood import Mood
from bigfusion.model.scoring.timeline import Timeline

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_READABLE, _WIDTH = 0.18, 0.13
"""The least share at which a label's name fits into its area, and the part of a phone's width that it takes."""


def mood_area(mood: Mood, timeline: Timeline, colours: dict[str, str]) -> Html:
    """One area a label, in the labels' order from below, with its name where the area is highest.

    The picture is stretched to the page's width, so that all text lies beside it.
    """
    shapes = []
    for low, high in _runs(mood.shares):
        tops = np.cumsum(mood.shares[low:high], axis=1)
        bottoms = np.concatenate([np.zeros((high - low, 1)), tops[:, :-1]], axis=1)
        x = _edges(mood.times[low:high], mood, timeline.seconds)
        for column, label in enumerate(timeline.labels):
            if mood.shares[low:high, column].max() > 1e-3:
                path = _outline(x, bottoms[:, column], tops[:, column])
                shapes.append(tag("path", d=path, fill=colours[label]))
    picture = tag("svg", *shapes, viewBox="0 0 1000 100", preserveAspectRatio="none", aria_hidden="true")
    names = [tag("span", label, class_=f"name l{index}", style=style) for index, label, style in _names(mood, timeline)]
    marks = [
        tag("span", clock(at), style=f"left:{100 * at / timeline.seconds:.3f}%") for at in _marks(timeline.seconds)
    ]
    head = tag("div", class_="head", id="mood-head")
    area = tag("div", picture, *names, head, class_="area", id="mood")
    return tag("div", area, tag("div", *marks, class_="ruler below"), class_="mood")


def _runs(shares: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """The stretches of times at which there are shares, as (first, beyond the last)."""
    known = np.concatenate([[False], ~np.isnan(shares).any(axis=1), [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _edges(times: NDArray[np.float64], mood: Mood, seconds: float) -> NDArray[np.float64]:
    """The times in thousandths of the width; a single time is given the width of a step."""
    if len(times) > 1:
        return 1000 * times / seconds
    half = (mood.times[1] - mood.times[0]) / 2
    return np.clip(1000 * np.array([times[0] - half, times[0] + half]) / seconds, 0, 1000)


def _outline(x: NDArray[np.float64], bottom: NDArray[np.float64], top: NDArray[np.float64]) -> str:
    if len(x) > len(top):
        bottom, top = np.repeat(bottom, len(x)), np.repeat(top, len(x))
    points = [*zip(x, 100 - 100 * top, strict=True), *zip(x[::-1], 100 - 100 * bottom[::-1], strict=True)]
    return "M" + "L".join(f"{left:.1f} {height:.1f}" for left, height in points) + "Z"


def _names(mood: Mood, timeline: Timeline) -> Iterator[tuple[int, str, str]]:
    """Each label whose name fits somewhere: its number, the name and its place. No two names touch."""
    shares = np.nan_to_num(mood.shares)
    tops = np.cumsum(shares, axis=1)
    reach = max(1, round(len(shares) * _WIDTH / 2))
    padded = np.pad(shares, ((reach, reach), (0, 0)))
    room = sliding_window_view(padded, 2 * reach + 1, axis=0).min(axis=2)  # the least share along a name's width
    taken: list[tuple[float, float]] = []
    for column in np.argsort(-room.max(axis=0), kind="stable"):
        for row in np.argsort(-room[:, column], kind="stable"):
            if room[row, column] < _READABLE:
                break
            left = 100 * mood.times[row] / timeline.seconds
            top = 100 - 100 * (tops[row, column] - shares[row, column] / 2)
            if all(abs(left - x) > 100 * _WIDTH or abs(top - y) > 16 for x, y in taken):
                taken.append((left, top))
                yield int(column), timeline.labels[column], f"left:{left:.2f}%;top:{top:.2f}%"
                break


def _marks(seconds: float) -> list[float]:
    step = next((step for step in _STEPS if seconds / step <= 6), _STEPS[-1])
    return [float(at) for at in np.arange(0, seconds - step / 4, step)]
