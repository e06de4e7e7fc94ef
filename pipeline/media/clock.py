"""Where decoded sound lies in time. Frames follow one another until their timestamps jump and stay there.

Timestamps are rounded (to a millisecond in Matroska and Flash). They jitter, and they drift from the samples' own
clock. None of that may cut or stretch sound. A jump is a shift on which all frames of the next moments agree: lost
packets, a muted track, a recorder that paused. A jump forward is filled with silence. After a jump back, the repeated
sound is cut. FFmpeg's ``aresample=async=1`` corrects in a similar way, but only shifts of more than a tenth of a second
in all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

HARD = 0.1
"""Seconds by which samples may differ from their timestamps, for any reason: FFmpeg's ``min_hard_comp``."""

STEP = 0.008
"""The smallest jump in seconds. Most packets hold ten milliseconds or more."""

LOST = 0.75
"""Sound that is missing counts as a lost packet from this share of a frame's length on."""

AHEAD = 0.3
"""Frames within this many seconds have to agree on a jump. At least three frames do."""

MEMORY = 24
"""The jitter of this many frames before a jump is compared with the jump."""


class Piece(NamedTuple):
    """Samples that belong together; ``stamp`` is in seconds, or ``None`` if the container has none."""

    stamp: float | None
    samples: int
    frame: Any = None


class Placed(NamedTuple):
    """A piece's frame, the moment in seconds at which its kept part begins, and its shift.

    The shift is the number of samples of silence before it or, if negative, the number cut from its beginning.
    """

    frame: Any
    begin: float
    shift: int


def placed(pieces: Iterable[Piece], rate: int) -> Iterator[Placed]:
    """Each piece with its shift, in samples at ``rate``. The first piece lies where its timestamp says."""
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
    """When the first of several pieces begins, by the first timestamp among them; 0 s if there is none."""
    before = 0
    for piece in pieces:
        if piece.stamp is not None:
            return piece.stamp - before / rate
        before += piece.samples
    return 0.0


def _away(queue: Iterable[Piece], expected: float, rate: int) -> list[float]:
    """How late each timestamp is, in seconds, compared with pieces that follow one another without a gap."""
    found, samples = [], 0
    for piece in queue:
        if piece.stamp is not None:
            found.append(piece.stamp - expected - samples / rate)
        samples += piece.samples
    return found


def is_lost(seconds: float, frame: float) -> bool:
    """Whether missing sound is long enough, against a frame's length, to be a lost packet rather than jitter."""
    return seconds >= max(STEP, LOST * frame)


def _jump(away: list[float], jitter: deque[float], frame: float) -> float:
    """The shift in seconds on which all of ``away`` agree; 0 if it is no more than jitter and drift.

    The jitter is known only after some frames. Before that, a jump must be at least most of a frame's length. At the
    stream's end fewer than three frames are left to agree: a jump must then also exceed the range of the jitter.
    """
    least, most = min(away), max(away)
    before_least, before_most = min(jitter, default=0.0), max(jitter, default=0.0)

    def is_jump(beyond: float) -> bool:
        if len(away) < 3 and beyond <= before_most - before_least:
            return False
        return beyond >= STEP if len(jitter) >= 3 else is_lost(beyond, frame)

    if least > 0:
        return least if least > HARD or is_jump(least - before_most) else 0.0
    return most if most < 0 and (most < -HARD or is_jump(before_least - most)) else 0.0
