"""The pictures of a table's page, as SVG: the forest of differences, and the cost against the score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bigfusion.model.report.figures import nice_ticks
from bigfusion.model.report.markup import Html, join, tag

Data = dict[str, Any]

_DIFFERS, _EQUAL = "#c8643c", "#2b5c8a"


def forest(rows: Sequence[Data], reference: str) -> Html:
    """A line a row: its difference to the reference in points, and the interval; for screen and phone."""
    compared = [row for row in rows if reference in row.get("against", {})]
    compared.sort(key=lambda row: -row["against"][reference]["weighted_f1"]["difference"])
    title = f"Weighted F1 less that of {reference}"
    return join(
        [_forest(compared, reference, title, 760, 190, "wide"), _forest(compared, reference, title, 350, 112, "narrow")]
    )


def _forest(rows: Sequence[Data], reference: str, title: str, width: int, left: int, class_: str) -> Html:
    found = [row["against"][reference]["weighted_f1"] for row in rows]
    ends = [100 * one[key] for one in found for key in ("low", "high")]
    ticks = nice_ticks(min(0.0, *ends), max(0.0, *ends))
    right, line, top = 20, 26, 8
    base = top + line * len(rows)

    def x(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (width - right - left)

    parts = []
    for tick in ticks:
        parts += [
            tag("line", x1=x(tick), x2=x(tick), y1=top, y2=base, class_="grid"),
            tag("text", f"{tick:+g}" if tick else "0", x=x(tick), y=base + 17, text_anchor="middle", class_="tick"),
        ]
    parts.append(tag("line", x1=x(0), x2=x(0), y1=top, y2=base, class_="reference"))
    for place, (row, one) in enumerate(zip(rows, found, strict=True)):
        middle = top + line * place + line / 2
        low, high, value = (100 * one[key] for key in ("low", "high", "difference"))
        colour = _EQUAL if low <= 0 <= high else _DIFFERS
        tip = tag("title", f"{row['name']}: {value:+.2f} [{low:+.2f}, {high:+.2f}], p {one['p']:.4f}")
        parts += [
            tag("text", row["name"], x=left - 12, y=middle + 4, text_anchor="end", class_="layer"),
            tag("line", x1=x(low), x2=x(high), y1=middle, y2=middle, stroke=colour, stroke_width=2),
            tag("circle", tip, cx=x(value), cy=middle, r=5, fill=colour),
        ]
    return _svg(width, base + 26, title, parts, class_)


def cost_against_score(rows: Sequence[Data]) -> Html:
    """A dot a row: CPU seconds of an epoch (logarithmic) across, weighted F1 up; for screen and phone."""
    return join([_scatter(rows, 760, 400, "wide"), _scatter(rows, 350, 330, "narrow")])


def _scatter(rows: Sequence[Data], width: int, height: int, class_: str) -> Html:
    left, right, top, bottom = 46, 96, 14, 42
    across = [math.log10(max(row["cost"]["cpu_seconds"], 1e-4)) for row in rows]
    up = [100 * row["weighted_f1"]["mean"] for row in rows]
    first, last = math.floor(min(across)), max(math.ceil(max(across)), math.floor(min(across)) + 1)
    ticks = nice_ticks(min(up) - 0.5, max(up) + 0.5)

    def x(value: float) -> float:
        return left + (value - first) / (last - first) * (width - right - left)

    def y(value: float) -> float:
        return height - bottom - (value - ticks[0]) / (ticks[-1] - ticks[0]) * (height - bottom - top)

    parts = []
    for tick in ticks:
        parts += [
            tag("line", x1=left, x2=width - right, y1=y(tick), y2=y(tick), class_="grid"),
            tag("text", f"{tick:g}", x=left - 8, y=y(tick) + 4, text_anchor="end", class_="tick"),
        ]
    for power in range(first, last + 1):
        parts += [
            tag("line", x1=x(power), x2=x(power), y1=top, y2=height - bottom, class_="grid"),
            tag("text", f"{10.0**power:g} s", x=x(power), y=height - bottom + 17, text_anchor="middle", class_="tick"),
        ]
    parts.append(tag("text", "CPU seconds an epoch", x=left, y=height - 6, class_="note"))
    for row, px, py, level in zip(rows, across, up, _levels([y(value) for value in up]), strict=True):
        said = f"{row['name']}: {py:.2f}, {row['cost']['cpu_seconds']:.3g} s, {row['cost']['parameters']:,} parameters"
        parts += [
            tag("circle", tag("title", said), cx=x(px), cy=y(py), r=5, fill=_EQUAL, fill_opacity=0.85),
            tag("text", row["name"], x=x(px) + 9, y=level + 4, class_="note"),
        ]
    return _svg(width, height, "Weighted F1 over the CPU seconds of an epoch", parts, class_)


def _levels(places: Sequence[float], apart: float = 13.0) -> list[float]:
    """The heights of names beside dots at ``places``, moved down where two would touch."""
    heights = list(places)
    last = -math.inf
    for index in sorted(range(len(places)), key=places.__getitem__):
        heights[index] = last = max(places[index], last + apart)
    return heights


def _svg(width: float, height: float, title: str, parts: Sequence[Html], class_: str) -> Html:
    box = f"0 0 {width:.0f} {height:.0f}"
    return tag("svg", *parts, viewBox=box, width=width, role="img", aria_label=title, class_=class_)
