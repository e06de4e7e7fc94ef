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
    """The number of cells with each kind of note, largest first.

    ``gap filled N s`` covers any number of seconds; if all cells say the same number, it is said.
    """
    found: Counter[str] = Counter()
    words: dict[str, set[str]] = {}
    for note in notes:
        parts = note.split(BETWEEN)
        for part in parts:
            words.setdefault(_kind(part), set()).add(part)
        found.update({_kind(part): 1 for part in parts})  # two gaps in one cell are one cell
    return {min(words[kind]) if len(words[kind]) == 1 else kind: number for kind, number in found.most_common()}


def _kind(part: str) -> str:
    return _NUMBER.sub("N", part)
