"""What was decided on the way to cells that are ``ok``: a cell's note, and notes counted by kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

BETWEEN = "; "
_NUMBER = re.compile(r"\d+(\.\d+)?")


def note_of(parts: Sequence[str]) -> str:
    """Several notes as a cell's."""
    return BETWEEN.join(parts)


def kinds(notes: Iterable[str]) -> dict[str, int]:
    """How many cells have each kind of note, most first: ``gap filled N s`` for any number of seconds."""
    found: Counter[str] = Counter()
    for note in notes:
        found.update({_NUMBER.sub("N", part) for part in note.split(BETWEEN)})
    return dict(found.most_common())
