"""One cue of a transcript: a stretch of a recording, who speaks in it, and what is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bigfusion.pipeline.errors import CorpusError

UNANSWERED = ("not sure", "no speech")
"""What a model writes in place of a label when it gives none. Read back, such a cue has no label."""


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
