"""The strips of a timeline: a lane for each speaker, and one for each feature that was absent somewhere.

Long recordings are cut into stretches. A screen shows them side by side, paper one below the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bigfusion.model.report.clock import clock, percent
from bigfusion.model.report.markup import Html, tag
from bigfusion.model.scoring.timeline import NO_SPEECH, NOT_SURE, Moment, Timeline

STRETCH, WHOLE = 120.0, 180.0
"""The seconds of a stretch, and those up to which a recording is one stretch."""

_SHORT = {NOT_SURE: "?", NO_SPEECH: "–"}
PIXELS = 12
"""The pixels that a second of a long recording takes on a screen at first."""

_STEPS = (0.5, 1, 2, 5, 10, 20, 30)
_NARROWEST = 0.15
"""The least share of a stretch, in percent, that a block takes, so that a word of a tenth of a second is seen."""


@dataclass(frozen=True)
class Piece:
    """The part of something that lies in one stretch. ``left`` and ``width`` are percentages of the stretch."""

    left: float
    width: float
    first: bool


def stretches(seconds: float) -> list[tuple[float, float]]:
    """Where the stretches of a recording start and end."""
    if seconds <= WHOLE:
        return [(0.0, seconds)]
    count = int(-(-seconds // STRETCH))
    return [(index * STRETCH, min((index + 1) * STRETCH, seconds)) for index in range(count)]


def piece(start: float, end: float, stretch: tuple[float, float]) -> Piece | None:
    """The part of ``start`` to ``end`` in a stretch; ``None`` if there is none."""
    low, high = stretch
    left, right = max(start, low), min(end, high)
    starts_here = low <= start < high
    if right <= left and not (starts_here and start == end):
        return None
    scale = 100 / (high - low)
    return Piece((left - low) * scale, max((right - left) * scale, _NARROWEST), starts_here)


def lanes(timeline: Timeline) -> Html:
    """All lanes. Each block is higher the surer the model is of its label."""
    absent = list(dict.fromkeys(feature for moment in timeline.moments for feature in moment.absent))
    parts = []
    for stretch in stretches(timeline.seconds):
        inside = [(number, moment) for number, moment in enumerate(timeline.moments) if _touches(moment, stretch)]
        rows = [_ruler(stretch)]
        rows += [_lane(name, _blocks(inside, name, stretch, timeline), timeline) for name in timeline.speakers]
        rows += [_gap_lane(feature, inside, stretch) for feature in absent]
        share = 100 * (stretch[1] - stretch[0]) / timeline.seconds
        paper = 100 * (stretch[1] - stretch[0]) / (STRETCH if timeline.seconds > WHOLE else timeline.seconds)
        style = f"--share:{share:.4f}%;--paper:{paper:.2f}%"
        parts.append(tag("div", *rows, class_="stretch", style=style))
    wide = f"--wide:max(100%,{PIXELS * timeline.seconds:.0f}px)" if timeline.seconds > WHOLE else None
    return tag("div", *parts, tag("div", class_="head", id="lane-head"), class_="roll", id="roll", style=wide)


def _touches(moment: Moment, stretch: tuple[float, float]) -> bool:
    return moment.start < stretch[1] and moment.end >= stretch[0]


def _ruler(stretch: tuple[float, float]) -> Html:
    low, high = stretch
    step = next((step for step in _STEPS if (high - low) / step <= 7), _STEPS[-1])
    marks = []
    at = -(-low // step) * step
    while at < high - step / 4:
        left = 100 * (at - low) / (high - low)
        text = clock(at) if at == int(at) else ""
        marks.append(tag("span", text, style=f"left:{left:.3f}%"))
        at += step
    return tag("div", *marks, class_="ruler")


def _lane(name: str, blocks: Iterable[Html], timeline: Timeline) -> Html:
    style = f"--t:{timeline.origin.threshold:.3f}" if timeline.origin.threshold else None
    return tag("div", tag("b", name or "(no name)"), tag("div", *blocks, class_="track"), class_="lane", style=style)


def _blocks(
    inside: Iterable[tuple[int, Moment]], speaker: str, stretch: tuple[float, float], timeline: Timeline
) -> Iterator[Html]:
    for number, moment in inside:
        part = piece(moment.start, moment.end, stretch) if moment.speaker == speaker else None
        if part:
            yield tag(
                "i",
                tag("span", _SHORT.get(moment.label, moment.label)) if part.first else "",
                class_=label_class(moment.label, timeline),
                data_i=number,
                style=f"left:{part.left:.3f}%;width:{part.width:.3f}%;--n:{moment.confidence:.2f}",
            )


def _gap_lane(feature: str, inside: Iterable[tuple[int, Moment]], stretch: tuple[float, float]) -> Html:
    blocks = []
    for number, moment in inside:
        part = piece(moment.start, moment.end, stretch) if feature in moment.absent else None
        if part:
            style = f"left:{part.left:.3f}%;width:{part.width:.3f}%"
            title = f"no {feature}: {moment.absent[feature]}"
            blocks.append(tag("i", class_="absent", data_i=number, style=style, title=title))
    return tag("div", tag("b", f"no {feature}"), tag("div", *blocks, class_="track"), class_="lane gaps")


def label_class(label: str, timeline: Timeline) -> str:
    """The class of a label in the stylesheet: ``l0``, ``l1``, ...; ``unsure`` and ``silent`` for the other two."""
    special = {NOT_SURE: "unsure", NO_SPEECH: "silent"}
    return special[label] if label in special else f"l{timeline.labels.index(label)}"


def said_probability(moment: Moment) -> str:
    """The probability beside a label; ``""`` beside "not sure" and "no speech", which have none."""
    return "" if moment.label in (NOT_SURE, NO_SPEECH) else percent(moment.confidence)
