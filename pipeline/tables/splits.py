"""The names that tables and feature files use for the three splits."""

from __future__ import annotations

from collections.abc import Iterable

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Split

NAMES = {
    **dict.fromkeys(("train", "training"), Split.TRAIN.value),
    **dict.fromkeys(("valid", "validation", "val", "dev", "development"), Split.VALID.value),
    **dict.fromkeys(("test", "testing"), Split.TEST.value),
}
"""Every spelling, in lower case. ``eval`` is left out: some corpora use it for validation, some for test."""


def split_of(cell: str) -> str:
    """The split that a cell names, ``""`` if it names none."""
    return NAMES.get(cell.strip().lower(), "")


def check_spellings(cells: Iterable[str]) -> None:
    """Refuse two spellings of one split in the same file: ``dev`` beside ``valid`` may be another part.

    Raises:
        CorpusError: there are two such spellings; the message names both.
    """
    first: dict[str, str] = {}
    for cell in dict.fromkeys(cell.strip().lower() for cell in cells):
        other = first.setdefault(split_of(cell), cell) if split_of(cell) else cell
        if other != cell:
            raise CorpusError(
                f"column split: expected one name for {split_of(cell)}, found {other!r} and {cell!r}; "
                "write the same word for both, or leave one part out"
            )
