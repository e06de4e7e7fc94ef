"""Where decoded sound lies in time: frames of samples follow one another until their timestamps jump, and stay there.

Timestamps are rounded (to a millisecond in Matroska and Flash), jitter, and drift from the samples' own clock. None of
that may cut or stretch sound. A jump is what all the frames of the next moments agree on: lost packets, a muted track,
a recorder that paused. There silence is put in; where timestamps step back, what is told twice is cut.
FFmpeg's ``aresample=async=1`` corrects alike, but only what is more than a tenth of a second in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

HARD = 0.1
"""Seconds that samples may be away from their timestamps, however they came there: FFmpeg's ``min_hard_comp``."""

STEP = 0.008
"""Seconds of the smallest jump: most packets hold ten milliseconds and more."""

LOST = 0.75
"""Share of a frame's length."""

AHEAD = 0.3
"""Seconds of the frames that have to agree on a jump, or three frames where they are longer."""

MEMORY = 24
"""Frames before a jump whose jitter is compared with it."""


class Piece(NamedTuple):
    """Samples that belong together: ``stamp`` in seconds, or ``None`` where the container has none."""

    stamp: float | None
    samples: int
    frame: Any = None


class Placed(NamedTuple):
    """A piece's frame, when what is kept of it begins, in seconds, and its shift.

    The shift says how many samples of silence come before it, or (negative) how many are cut from its beginning.
    """

    frame: Any
    begin: float
    shift: int


def placed(pieces: Iterable[Piece], rate: int) -> Iterator[Placed]:
    """Each piece with its shift, in samples at ``rate``. The first piece is where it says."""
    waiting = iter(pieces)
    queue: deque[Piece] = deque()
    queued = 0
    jitter: deque[float] = deque(maxlen=MEMORY)
    expected: float | None = None
    while True:
        while queued < AHEAD * rate or len(queue) < 4:
            piece = next(waiting, None)
            if piece is None:
                break
            queue.append(piece)
            queued += piece.samples
        if not queue:
            return
        if expected is None:
            expected = first_stamp(queue, rate)
        shift = 0
        if (stamp := queue[0].stamp) is not None:
            if abs(stamp - expected) >= STEP:
                jump = _jump(_away(queue, expected, rate), jitter, queue[0].samples / rate)
                shift = max(round(jump * rate), -queue[0].samples)
            if not shift:
                jitter.append(stamp - expected)
        piece = queue.popleft()
        queued -= piece.samples
        begin = expected + max(shift, 0) / rate
        expected += (shift + piece.samples) / rate
        yield Placed(piece.frame, begin, shift)


def first_stamp(pieces: Iterable[Piece], rate: int) -> float:
    """When the first of several pieces begins, by the first timestamp among them; 0 s where there is none."""
    before = 0
    for piece in pieces:
        if piece.stamp is not None:
            return piece.stamp - before / rate
        before += piece.samples
    return 0.0


def _away(queue: Iterable[Piece], expected: float, rate: int) -> list[float]:
    """By how many seconds each timestamp lies behind where its piece would come if all followed one another."""
    found, samples = [], 0
    for piece in queue:
        if piece.stamp is not None:
            found.append(piece.stamp - expected - samples / rate)
        samples += piece.samples
    return found


def is_lost(seconds: float, frame: float) -> bool:
    """Whether so much missing sound is a packet's, by a frame's length: more than timestamps jitter."""
    return seconds >= max(STEP, LOST * frame)


def _jump(away: list[float], jitter: deque[float], frame: float) -> float:
    """The seconds that all of ``away`` agree on, where that is more than jitter and drift.

    How much timestamps jitter is known after some frames; before, a jump is of most of a frame's length at least.
    """
    least, most = min(away), max(away)
    known = len(jitter) >= 3
    if least > 0:
        above = least - max(jitter, default=0.0)
        return least if least > HARD or (above >= STEP if known else is_lost(above, frame)) else 0.0
    below = min(jitter, default=0.0) - most
    return most if most < 0 and (most < -HARD or (below >= STEP if known else is_lost(below, frame))) else 0.0
