"""Which frames of a film are sampled, and when they are shown.

A frame is shown from its timestamp until that of its successor. If frames come at a constant rate of five a second or
more, the first frame that begins in each step is sampled. Step k reaches from start + k / rate up to the next step. In
other films (recordings of screens, calls, slide shows, one frame a second) some steps may have no new frame. There, the
frame that is shown at the step's beginning is sampled, again and again while a still lasts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

TOLERANCE = 1e-6
"""Timestamps are rounded to the stream's clock. This is how far, in steps, they may be off."""

STILL = 0.2
"""A frame that is shown for longer than this many seconds is a still, even if all frames are."""

UNEVEN = 0.1
"""Frame lengths at a constant rate may differ by this share of a length."""

TICK = 0.0021
"""Frame lengths may always differ by this many seconds, because containers round to milliseconds."""


class BestEffort:
    """A frame's timestamp by FFmpeg's rule, for files whose presentation and decoding times disagree.

    The kind that has stepped back less often so far is used; presentation times if both have stepped back equally
    often. Only decoding times are right if a B-frame is packed into one packet with another frame (DivX, XviD in AVI).
    """

    def __init__(self) -> None:
        self._faults = [0, 0]
        self._last = [-math.inf, -math.inf]

    def of(self, shown: int | None, decoded: int | None) -> int | None:
        """The timestamp of one frame, in decoding order; ``None`` if it has neither."""
        for kind, (stamp, other) in enumerate(((shown, decoded), (decoded, shown))):
            if stamp is not None:
                self._faults[kind] += stamp <= self._last[kind]
                self._last[kind] = stamp
            elif other is not None:
                self._last[kind] = other
        if shown is not None and (decoded is None or self._faults[0] <= self._faults[1]):
            return shown
        return decoded


class Sampler(Protocol):
    """Takes frames in the order in which they are shown, and returns the sampled ones with their moments."""

    taken: int

    def add(self, moment: float, frame: Any) -> Iterator[tuple[float, Any]]:
        """Add the next frame and the moment at which it begins."""
        ...

    def finish(self, end: float) -> Iterator[tuple[float, Any]]:
        """There are no more frames. The last one is shown until ``end``."""
        ...


class FirstOfEachStep:
    """Samples the first frame that begins in each step. If none begins in the span, the one shown at its start."""

    def __init__(self, start: float, end: float, rate: float) -> None:
        self._start, self._end, self._rate = start, end, rate
        self._due = 0
        self._shown: Any = None
        self.taken = 0

    def add(self, moment: float, frame: Any) -> Iterator[tuple[float, Any]]:
        """See :class:`Sampler`."""
        step = (moment - self._start) * self._rate + TOLERANCE
        if step < 0:
            self._shown = frame
        if step < self._due or moment >= self._end:
            return
        self._due = math.floor(step) + 1
        self.taken += 1
        yield moment, frame

    def finish(self, end: float) -> Iterator[tuple[float, Any]]:
        """See :class:`Sampler`."""
        if not self.taken and self._shown is not None and end > self._start:
            self.taken += 1
            yield self._start, self._shown


class ShownAtEachStep:
    """Samples the frame shown at each step's beginning.

    If a film begins within the span, its first frame comes first.
    """

    def __init__(self, start: float, end: float, rate: float) -> None:
        self._start, self._end, self._rate = start, end, rate
        self._due = 0
        self._shown: Any = None
        self.taken = 0

    def _until(self, moment: float) -> Iterator[tuple[float, Any]]:
        last = min(moment, self._end)
        while (last - self._start) * self._rate > self._due + TOLERANCE:
            if self._shown is not None:
                self.taken += 1
                yield self._start + self._due / self._rate, self._shown
            self._due += 1

    def add(self, moment: float, frame: Any) -> Iterator[tuple[float, Any]]:
        """See :class:`Sampler`."""
        yield from self._until(moment)
        if self._shown is None and self._start <= moment < self._end:
            self._due = math.floor((moment - self._start) * self._rate + TOLERANCE) + 1
            self.taken += 1
            yield moment, frame
        self._shown = frame

    def finish(self, end: float) -> Iterator[tuple[float, Any]]:
        """See :class:`Sampler`."""
        yield from self._until(end)


def sampler_of(stamps: Sequence[float], start: float, end: float, rate: float) -> Sampler:
    """The sampler for a span whose frames begin at ``stamps`` (rising, some before it)."""
    kind = FirstOfEachStep if _is_constant(stamps, start, end) else ShownAtEachStep
    return kind(start, end, rate)


def sampled(stamps: Sequence[float], start: float, end: float, rate: float) -> set[float]:
    """The times of the frames that may be sampled, among ``stamps``. How long the last frame lasts is not known."""
    sampler = sampler_of(stamps, start, end, rate)
    taken = [pair for stamp in stamps for pair in sampler.add(stamp, stamp)]
    rest = sampler.finish(min(end, stamps[-1])) if stamps else ()
    return {stamp for _, stamp in [*taken, *rest]} | set(stamps[-1:])


def _is_constant(stamps: Sequence[float], start: float, end: float) -> bool:
    """Whether frames come at one rate throughout the span, without any still."""
    first = max((at for at, stamp in enumerate(stamps) if stamp <= start), default=0)
    near = [stamp for stamp in stamps[first:] if stamp <= end]
    lengths = [after - before for before, after in pairwise(near)]
    if not lengths:
        return False
    if first == 0 and len(lengths) > 1 and lengths[0] <= STILL:
        del lengths[0]  # AVI's first frame is late by the number of frames that the encoder holds back
    lengths.sort()
    middle = lengths[len(lengths) // 2]
    even = lengths[-1] - lengths[0] <= max(TICK, UNEVEN * middle)
    return even and middle <= STILL + TICK
