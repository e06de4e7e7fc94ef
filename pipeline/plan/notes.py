"""Notes on cells that are ``ok``: what was decided while a cell was computed, and how many cells have each kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

BETWEEN = "; "
_NUMBER = re.compile(r"\d+(\.\d+)?")


def note_of(parts: Sequence[str]) -> str:
    """Several notes joined to the note of one cell."""
    return BETWEEN.join(parts)


def kinds(notes: Iterable[str]) -> dict[str, int]:
    """The number of cells with each kind of note, largest first; ``gap filled N s`` covers any number of seconds."""
    found: Counter[str] = Counter()
    for note in notes:
        found.update({_NUMBER.sub("N", part) for part in note.split(BETWEEN)})
    return dict(found.most_common())
