"""The report's pictures, drawn as SVG: a strip of scores, curves over epochs, rates by layer, calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bigfusion.model.report.markup import Html, join, tag
from bigfusion.model.scoring.calibration import Calibration

SEED_COLOURS = ("#2b5c8a", "#c8643c", "#4f8a5b", "#8a5a9e", "#b58a1f", "#4a9aa8", "#a84a6a", "#6b7280")
"""The colours of the seeds, in order. They repeat after eight."""

_EMOTIONS = {
    "neutral": "#b7c0cc",
    "joy": "#dac167",
    "surprise": "#d17df5",
    "sadness": "#157ea3",
    "anger": "#9a1d18",
    "fear": "#203487",
    "disgust": "#6f865e",
    "excitement": "#e06e0f",
    "frustration": "#6c3558",
}
"""Colours of which any two differ for colour-blind readers too, as a test checks."""

_SAME = {
    "neu": "neutral",
    "hap": "joy",
    "happy": "joy",
    "happiness": "joy",
    "sad": "sadness",
    "ang": "anger",
    "angry": "anger",
    "exc": "excitement",
    "excited": "excitement",
    "fru": "frustration",
    "frustrated": "frustration",
}
_OTHERS = ("#5b8e8e", "#b0785a", "#7d86c4", "#a3a04c", "#c07aa5", "#6c7a89")


@dataclass(frozen=True)
class Mark:
    """A named value on a strip."""

    name: str
    value: float


@dataclass(frozen=True)
class Curve:
    """One line of a chart: values of epochs 1, 2, ...; ``chosen`` is the epoch to mark."""

    values: Sequence[float]
    colour: str
    chosen: int | None = None
    dashed: bool = False


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label. Each emotion of the known corpora always has the same colour."""
    known = {label: _EMOTIONS.get(_SAME.get(label.lower(), label.lower())) for label in labels}
    unknown = [label for label, colour in known.items() if colour is None]
    return {label: colour or _OTHERS[unknown.index(label) % len(_OTHERS)] for label, colour in known.items()}


def ink_on(colour: str) -> str:
    """Black or white: the one that is readable on ``colour`` (relative luminance, WCAG 2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.18 else "#ffffff"


def score_strip(seeds: Sequence[tuple[int, float]], mean: float, marks: Sequence[Mark]) -> Html:
    """The score of each (seed, score), their mean, and the values to compare with, on one axis in points.

    It is drawn twice, for a screen and for a phone, because its text would be too small if it were scaled down.
    """
    return join([_score_strip(seeds, mean, marks, 660, "wide"), _score_strip(seeds, mean, marks, 350, "narrow")])


def _score_strip(
    seeds: Sequence[tuple[int, float]], mean: float, marks: Sequence[Mark], width: int, class_: str
) -> Html:
    left, right, radius = 24, 24, 5
    axis = 84
    everything = [mean, *(score for _, score in seeds), *(mark.value for mark in marks)]
    low = max(0, 10 * math.floor((min(everything) - 4) / 10))
    high = min(100, 10 * math.ceil((max(everything) + 4) / 10))
    x = _scale(low, high, left, width - right)
    parts = [tag("line", x1=left, x2=width - right, y1=axis, y2=axis, class_="axis")]
    for tick in range(low, high + 1, 10 if high - low <= width / 6 else 20):
        parts += [
            tag("line", x1=x(tick), x2=x(tick), y1=axis, y2=axis + 5, class_="axis"),
            tag("text", tick, x=x(tick), y=axis + 18, text_anchor="middle", class_="tick"),
        ]
    for row, mark in enumerate(marks):  # each name has its own line, because two marks may be close together
        name = f"{mark.name} {mark.value:.2f}"
        parts += [
            tag("line", x1=x(mark.value), x2=x(mark.value), y1=axis - 24, y2=axis, class_="reference"),
            tag("text", name, **_beside(x(mark.value), width), y=axis + 36 + 16 * row, class_="note"),
        ]
    levels = stacked([x(score) for _, score in seeds], 2 * radius + 1)
    for index, ((seed, score), level) in enumerate(zip(seeds, levels, strict=True)):
        place = {"cx": x(score), "cy": axis - 8 - level * (2 * radius + 1), "r": radius}
        fill = SEED_COLOURS[index % len(SEED_COLOURS)]
        parts.append(tag("circle", _tip(f"seed {seed}: {score:.2f}"), **place, fill=fill))
    top = axis - 22 - max(levels) * (2 * radius + 1)
    parts += [
        tag("path", d=f"M{x(mean):.1f},{top + 6:.1f}l-4,-6h8z", class_="pointer"),
        tag("text", f"mean {mean:.2f}", x=x(mean), y=top - 6, text_anchor="middle", class_="strong"),
    ]
    height = axis + 30 + 16 * len(marks)
    return _svg(width, height, "Weighted F1 of each seed beside the values to compare with", parts, class_)


def curves(title: str, lines: Sequence[Curve], unit: str) -> Html:
    """Lines over epochs; a circle marks the chosen epoch."""
    width, height, left, right, top, bottom = 480, 260, 46, 14, 30, 34
    longest = max(len(line.values) for line in lines)
    values = [value for line in lines for value in line.values]
    ticks = nice_ticks(min(values), max(values))
    x = _scale(1, max(longest, 2), left, width - right)
    y = _scale(ticks[0], ticks[-1], height - bottom, top)
    parts = [tag("text", title, x=left, y=16, class_="strong"), *_grid(ticks, y, left, width - right)]
    for epoch in nice_ticks(1, longest, whole=True):
        if 1 <= epoch <= longest:
            parts.append(
                tag("text", f"{epoch:g}", x=x(epoch), y=height - bottom + 17, text_anchor="middle", class_="tick")
            )
    parts.append(tag("text", "epoch", x=width - right, y=height - 3, text_anchor="end", class_="note"))
    parts.append(tag("text", unit, x=width - right, y=16, text_anchor="end", class_="note"))
    for line in lines:
        points = [(x(epoch), y(value)) for epoch, value in enumerate(line.values, start=1)]
        path = " ".join(f"{'ML'[index > 0]}{px:.1f},{py:.1f}" for index, (px, py) in enumerate(points))
        dashes = "4 3" if line.dashed else None
        parts.append(tag("path", d=path, stroke=line.colour, stroke_dasharray=dashes, class_="curve"))
        if line.chosen is not None:
            px, py = points[line.chosen - 1]
            parts.append(tag("circle", cx=px, cy=py, r=4.5, stroke=line.colour, class_="chosen"))
    return _svg(width, height, title, parts)


def firing_rates(rates: Mapping[str, Sequence[float]]) -> Html:
    """A row a layer, a dot a seed; 0 % is never firing, 100 % is firing at every step. For screen and phone."""
    return join([_firing_rates(rates, 660, 200, "wide"), _firing_rates(rates, 350, 100, "narrow")])


def _firing_rates(rates: Mapping[str, Sequence[float]], width: int, left: int, class_: str) -> Html:
    right, row, top = 24, 24, 12
    height = top + row * len(rates) + 34
    x = _scale(0, 100, left, width - right)
    base = top + row * len(rates) + 4
    parts = []
    for tick in range(0, 101, 25):
        parts += [
            tag("line", x1=x(tick), x2=x(tick), y1=top, y2=base, class_="grid"),
            tag("text", f"{tick} %", x=x(tick), y=base + 17, text_anchor="middle", class_="tick"),
        ]
    for index, (layer, values) in enumerate(rates.items()):
        middle = top + row * index + row / 2
        parts += [
            tag("text", layer, x=left - 14, y=middle + 4, text_anchor="end", class_="layer"),
            tag("line", x1=left, x2=width - right, y1=middle, y2=middle, class_="grid"),
        ]
        for seed, value in enumerate(values):
            colour = SEED_COLOURS[seed % len(SEED_COLOURS)]
            parts.append(tag("circle", cx=x(100 * value), cy=middle, r=5, fill=colour, fill_opacity=0.85))
    return _svg(width, height, "Firing rate of each spiking layer", parts, class_)


def reliability(calibration: Calibration) -> Html:
    """The share of right predictions by their probability: a dot for each bin, and the diagonal to compare with."""
    size, left, right, top, bottom = 370, 56, 26, 16, 46
    x, y = _scale(0, 1, left, size - right), _scale(0, 1, size - bottom, top)
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        label = f"{100 * tick:.0f} %"
        parts += [
            tag("line", x1=x(tick), x2=x(tick), y1=y(0), y2=y(1), class_="grid"),
            tag("line", x1=x(0), x2=x(1), y1=y(tick), y2=y(tick), class_="grid"),
            tag("text", label, x=x(tick), y=y(0) + 17, text_anchor="middle", class_="tick"),
            tag("text", label, x=x(0) - 8, y=y(tick) + 4, text_anchor="end", class_="tick"),
        ]
    parts.append(tag("line", x1=x(0), x2=x(1), y1=y(0), y2=y(1), class_="reference"))
    parts.append(
        tag("text", "probability of the prediction", x=x(0.5), y=size - 8, text_anchor="middle", class_="note")
    )
    parts.append(tag("text", "right", x=x(0) + 6, y=top + 12, class_="note"))
    total = max(sum(one.count for one in calibration.bins), 1)
    filled = [one for one in calibration.bins if one.count]
    path = " ".join(
        f"{'ML'[index > 0]}{x(one.confidence):.1f},{y(one.accuracy):.1f}" for index, one in enumerate(filled)
    )
    parts.append(tag("path", d=path, stroke=SEED_COLOURS[0], class_="curve"))
    for one in filled:
        tip = f"{one.count} predictions at {100 * one.confidence:.0f} %: {100 * one.accuracy:.0f} % right"
        radius = max(2.0, 20 * math.sqrt(one.count / total))
        place = {"cx": x(one.confidence), "cy": y(one.accuracy), "r": radius}
        parts.append(tag("circle", _tip(tip), **place, fill=SEED_COLOURS[0], fill_opacity=0.55))
    return _svg(size, size, "Share of right predictions over their probability", parts)


def stacked(places: Sequence[float], size: float) -> list[int]:
    """How high to stack each dot of width ``size``, so that no dot hides another. Level 0 lies on the line."""
    taken: list[list[float]] = []
    levels = [0] * len(places)
    for index in sorted(range(len(places)), key=places.__getitem__):
        free = (level for level, row in enumerate(taken) if places[index] - row[-1] >= size)
        levels[index] = next(free, len(taken))
        if levels[index] == len(taken):
            taken.append([])
        taken[levels[index]].append(places[index])
    return levels


def nice_ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Four to eight round values that span ``low`` to ``high``; ``whole`` allows only whole numbers."""
    if not whole and max(abs(low), abs(high)) < 1e-8:  # nothing but zeros, which no step divides
        low, high = min(low, 0.0), 1.0
    if not whole and high - low < (flat := 0.01 * max(abs(low), abs(high), 1e-9)):  # its ticks would look equal
        low, high = low - flat, high + flat
    span = max(high - low, 1.0) if whole else high - low
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if span / (step * factor) <= 6)
    if whole:
        step = max(1, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * index, 10) for index in range(first, max(last, first + 1) + 1)]


def _tip(text: str) -> Html:
    """The text that appears when the pointer is over a shape."""
    return tag("title", text)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _grid(ticks: Sequence[float], y: Callable[[float], float], left: float, right: float) -> list[Html]:
    parts = []
    for tick in ticks:
        parts += [
            tag("line", x1=left, x2=right, y1=y(tick), y2=y(tick), class_="grid"),
            tag("text", f"{tick:g}", x=left - 8, y=y(tick) + 4, text_anchor="end", class_="tick"),
        ]
    return parts


def _beside(x: float, width: float) -> dict[str, str | float]:
    """Position and anchor of a text under ``x``, so that it stays inside the picture."""
    anchor = "start" if x < 80 else "end" if x > width - 80 else "middle"
    return {"x": x, "text_anchor": anchor}


def _svg(width: float, height: float, title: str, parts: Sequence[Html], class_: str | None = None) -> Html:
    box = f"0 0 {width:.0f} {height:.0f}"
    return tag("svg", *parts, viewBox=box, width=width, role="img", aria_label=title, class_=class_)
