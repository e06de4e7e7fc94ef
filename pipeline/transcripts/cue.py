"""One cue of a transcript: a stretch of a recording, who speaks in it, and what is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bigfusion.pipeline.errors import CorpusError

UNANSWERED = ("not sure", "no speech")
"""What a model writes in place of a label when it gives none. Read back, such a cue has no label."""

_TIMES = re.compile(r"(?=.*\d)[\W\d]*(?:--+>|\d\s*[:;.,]\s*\d[\W\d]*(?:[-–—\u2010\u2011]>|→))")
"""A line that is meant as a cue's times: numbers and an arrow, and no word before the arrow."""


@dataclass(frozen=True)
class Cue:
    """``start`` and ``end`` are seconds from the recording's beginning. ``""``: no speaker is named, no label given."""

    start: float
    end: float
    text: str
    speaker: str = ""
    label: str = ""

    def overlap(self, start: float, end: float) -> float:
        """How many seconds the cue shares with another stretch; negative: the gap between them."""
        return min(self.end, end) - max(self.start, start)


def refuse(path: Path, kind: str, found: object) -> NoReturn:
    """Raise an error about a file that is not the transcript that its name says.

    Raises:
        CorpusError: always.
    """
    words = " ".join(str(found).split())[:200] or type(found).__name__
    raise CorpusError(f"{path}: expected {kind}, found {words}; save the transcript again in this format") from None


def require_times(path: Path, text: str, expected: str, known: Callable[[str], bool]) -> None:
    """Check that each line of ``text`` that is meant as a cue's times is ``known`` to the reader as such.

    A reader passes over any other one. It drops the cue, or adds it to the words of the cue before. Times stand after
    an empty line or a cue's number; a line further on in a known cue is what was said.

    Raises:
        CorpusError: the first such line.
    """
    said, before = False, ""
    for number, line in enumerate(re.split(r"\r\n?|\n", text), start=1):
        if known(line):
            said = True
        elif not line.strip():
            said = False
        elif _TIMES.match(line, 0, 100) and (not said or before.strip().isdigit()):
            raise CorpusError(
                f"{path}: line {number}: expected times like {expected}, found {line.strip()[:80]!r}; correct that line"
            )
        before = line
