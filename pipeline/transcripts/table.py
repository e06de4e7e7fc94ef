"""A table of cues (CSV, TSV or Parquet) with the columns start, end, speaker, text and label."""

from __future__ import annotations

from pathlib import Path

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables import times
from bigfusion.pipeline.tables.tables import read_table
from bigfusion.pipeline.transcripts.cue import Cue

COLUMNS = ("start", "end", "speaker", "text", "label")


def read(path: Path, encoding: str = "") -> list[Cue]:
    """The rows in their order. ``speaker``, ``text`` and ``label`` may be missing; other columns are not read.

    Raises:
        CorpusError: the table has no column start or end, or a cell of them is no time.
    """
    table = read_table(path, COLUMNS, encoding=encoding)
    for name in COLUMNS[:2]:
        if name not in table.columns:
            raise CorpusError(
                f"{path}: expected the columns start, end, speaker and text, found {', '.join(table.header)[:200]};"
                " rename the columns"
            )
    comma = table.delimiter == ";"
    spans = []
    for name in COLUMNS[:2]:
        cells = [cell.strip() for cell in table.columns[name]]
        table.require(name, (bool(cell) and times.seconds(cell, comma) is not None for cell in cells), times.EXPECTED)
        spans.append([times.seconds(cell, comma) or 0.0 for cell in cells])
    words = [table.columns.get(name, [""] * len(table)) for name in ("text", "speaker", "label")]
    return [Cue(start, end, *texts) for start, end, *texts in zip(*spans, *words, strict=True)]
