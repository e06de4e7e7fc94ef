"""The utterances around one in its dialogue: what an extractor with context reads and depends on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from bigfusion.pipeline.schema import Context, Line, Window


def neighbours(turns: Sequence[int], row: int, window: Window) -> tuple[range, range]:
    """The rows of a manifest before and after ``row`` that are in its dialogue and inside ``window``.

    ``turns`` is the manifest's column: 0, 1, 2, ... within each dialogue. The rows of a dialogue are adjacent.
    """
    end = row + 1
    while end < len(turns) and turns[end] > 0 and end - row <= window.after:
        end += 1
    return range(row - min(turns[row], window.before), row), range(row + 1, end)


def contexts(table: pd.DataFrame, rows: Iterable[int], window: Window) -> Iterator[Context]:
    """The context of each of the manifest's ``rows``."""
    lines = list(map(Line, table["speaker"].tolist(), table["text"].tolist()))
    turns = table["turn"].tolist()
    for row in rows:
        before, after = neighbours(turns, row, window)
        yield Context(lines[row].speaker, tuple(lines[i] for i in before), tuple(lines[i] for i in after))
