"""A table on disk (CSV, TSV, Parquet) as columns of text, with errors that name its rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.charset import read_text
from bigfusion.pipeline.tables.classes import composed

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
"""The character that separates the cells of a text file, by the file's ending. Excel gives .txt to its "Unicode text".
"""
_OTHERS = (",", ";", "\t", "|")
_EXCEL = re.compile(r'"?sep=(?P<delimiter>[^"\r\n])"?[,;\t]*(\r\n|\n|\r)', re.IGNORECASE)
PARQUET = (".parquet", ".pq")
_A_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Table:
    """Columns of text, ``""`` for an empty cell.

    ``header`` names all columns of the file, including those not read. ``lines`` are the rows' line numbers, if the
    file has lines. ``delimiter`` separates its cells, if anything does.
    """

    path: Path
    header: Sequence[str]
    columns: Mapping[str, list[str]]
    lines: Sequence[int] = ()
    delimiter: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def where(self, row: int) -> str:
        """``row 3 (line 4)``: rows count from 1, the header not counted."""
        return f"row {row + 1} (line {self.lines[row]})" if self.lines else f"row {row + 1}"

    def refuse(self, row: int, column: str, expected: str) -> NoReturn:
        """Raise an error about a cell.

        Raises:
            CorpusError: always; it names the file, row and column, what was expected and what was found.
        """
        found = self.columns[column][row]
        found = found if len(found) <= 80 else f"{found[:77]}..."
        raise CorpusError(f"{self.path}: {self.where(row)}, column {column}: expected {expected}, found {found!r}")

    def require(self, column: str, good: Iterable[bool], expected: str) -> None:
        """Refuse the first cell of ``column`` that is not ``good``."""
        for row, fine in enumerate(good):
            if not fine:
                self.refuse(row, column, expected)


def read_table(path: Path, wanted: Iterable[str], *, encoding: str = "", delimiter: str = "") -> Table:
    """The ``wanted`` columns that a file has.

    ``encoding`` and ``delimiter`` are for text files; ``""``: detected from the file.

    Raises:
        CorpusError: the file is missing, is not the kind that its name says, or has a wanted column twice.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _read_parquet(path, list(wanted))
    if suffix not in DELIMITERS:
        kinds = ", ".join((*DELIMITERS, *PARQUET))
        hint = "; save the sheet as CSV (UTF-8)" if suffix in (".xlsx", ".xls", ".ods", ".numbers") else ""
        raise CorpusError(f"{path}: expected a table whose name ends in one of {kinds}{hint}")
    return _parse(path, read_text(path, encoding), list(wanted), delimiter)


def _parse(path: Path, text: str, wanted: list[str], delimiter: str) -> Table:
    """The table in a text. Lines and rows without any filled cell are skipped."""
    text, delimiter, before = _delimited(path, text, wanted, delimiter)
    source = list(io.StringIO(text, newline=""))
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    long: dict[int, list[str]] = {}  # the lines of each row of several
    try:
        header = [composed(name.strip()) for name in next(reader, [])]
        line = reader.line_num + 1
        for row in reader:
            begin, line = line, reader.line_num + 1
            start = begin + before
            if not any(map(str.strip, row)):
                continue
            if len(row) != len(header):
                remedy = f"quote a cell that holds the separator {_shown(delimiter)}"
                if len(row) < len(header):
                    remedy = f"add cells, empty ones too, for {', '.join(header[len(row) :])}"
                found = f"{len(row)}: {remedy}"
                raise CorpusError(
                    f"{path}: row {len(rows) + 1} (line {start}): expected {len(header)} cells, found {found}"
                )
            if line - begin > 1:
                long[len(rows)] = source[begin - 1 : line - 1]
            rows.append(row)
            lines.append(start)
    except csv.Error as error:
        near = reader.line_num + before
        raise CorpusError(f"{path}: near line {near}: expected closed quotes, found {error}") from None
    quotes = len(header) == 1 or any(delimiter in cell for at, row in enumerate(rows) if at not in long for cell in row)
    merged = next((row for row, parts in long.items() if _are_rows(parts, delimiter, rows)), None)
    if merged is not None and not quotes:
        raise CorpusError(
            f"{path}: row {merged + 1} (lines {lines[merged]} to {lines[merged] + len(long[merged]) - 1}): expected a"
            ' row on each of these lines, found a cell in quotes over all of them; write "word" as """word""" in the'
            " table, or save it with quoted cells"
        )
    places = _places(path, header, wanted)
    columns = {name: [row[place] for row in rows] for name, place in places.items()}
    return Table(path, header, columns, lines, delimiter)


def _are_rows(parts: Sequence[str], delimiter: str, rows: Sequence[Sequence[str]]) -> bool:
    """Whether the lines of a quoted cell are rows: someone says ``"...`` in one row and ``..."`` in a later one.

    Cut at the delimiter alone, each line has as many cells as ``rows``, and none is in quotes, is empty, begins with a
    space or has letters if nothing in its column does. A sentence with as many commas does not look like that.
    """
    cut = [part.rstrip("\r\n").split(delimiter) for part in parts if part.strip()]
    if any(len(cells) != len(rows[0]) for cells in cut):
        return False
    quoted = next((place for place, cell in enumerate(cut[0]) if cell.count('"') % 2), None)
    return all(
        not _is_quoted(cells[place])
        and all(
            not is_so(cells[place]) or any(is_so(row[place]) for row in rows)
            for is_so in (_is_empty, _is_indented, _has_letters)
        )
        for cells in cut
        for place in range(len(cells))
        if place != quoted
    )


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _is_empty(cell: str) -> bool:
    return not cell.strip()


def _is_indented(cell: str) -> bool:
    return cell[:1].isspace()


def _has_letters(cell: str) -> bool:
    return any(map(str.isalpha, cell))


def _delimited(path: Path, text: str, wanted: list[str], delimiter: str) -> tuple[str, str, int]:
    """The text, its delimiter, and the number of lines removed: Excel writes ``sep=;`` above the header.

    If nothing names the delimiter, the header decides: the delimiter that yields most of the wanted columns is taken.
    """
    if excel := _EXCEL.match(text):
        if delimiter not in ("", excel["delimiter"]):
            raise CorpusError(
                f"{path}: expected cells separated by {_shown(delimiter)} (corpus.delimiter), found the first line "
                f'{excel[0].strip()!r}; write corpus.delimiter = ""'
            )
        return text[excel.end() :], excel["delimiter"], 1
    if delimiter:
        return text, delimiter, 0
    usual = DELIMITERS[path.suffix.lower()]
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]

    def names(candidate: str) -> int:
        """How many wanted columns the header has if ``candidate`` separates them."""
        cells = next(csv.reader([header], delimiter=candidate), [])
        return len({composed(cell.strip()) for cell in cells} & {*wanted})

    return text, max((usual, *_OTHERS), key=names), 0  # the usual one, unless another is better


def _shown(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else repr(delimiter)


def _read_parquet(path: Path, wanted: list[str]) -> Table:
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            places = _places(path, header, wanted)
            table = file.read(columns=list(places))
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; set corpus.path to your table") from None
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise CorpusError(f"{path}: expected a Parquet file, found {str(error).splitlines()[0]}") from None
    try:
        return Table(path, header, {name: as_text(name, _in_seconds(table[name])) for name in places})
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None


def _in_seconds(column: Any) -> Any:
    """A column of durations as seconds; any other as it is. Arrow would print their bare count in any unit."""
    if not pa.types.is_duration(column.type):
        return column
    return pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64(), safe=False), float(_A_SECOND[column.type.unit]))


def _places(path: Path, header: Sequence[str], wanted: Iterable[str]) -> dict[str, int]:
    for name in wanted:
        if header.count(name) > 1:
            raise CorpusError(f"{path}: expected one column {name!r}, found {header.count(name)}")
    if not header:
        raise CorpusError(f"{path}: expected a header and rows, found an empty file")
    return {name: header.index(name) for name in wanted if name in header}


def as_text(name: str, column: Any) -> list[str]:
    """An Arrow column as text: nulls and NaN become ``""``, whole floats lose their ``.0``.

    Raises:
        CorpusError: the column holds lists, bytes or other values that are not text.
    """
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    try:
        texts: list[str] = pc.fill_null(pc.cast(column, pa.large_string()), "").to_pylist()
    except pa.ArrowException:
        raise CorpusError(f"column {name}: expected text or numbers, found {column.type}") from None
    return texts
