"""A row of the manifest: its columns, its rules, and the digest of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigfusion.pipeline.digests.values import canonical
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Split

TEXT, SECONDS = pa.large_string(), pa.float64()
SCHEMA = pa.schema(
    [
        ("utterance", TEXT),  # unique in the corpus
        ("split", TEXT),
        ("dialogue", TEXT),  # unique across splits
        ("turn", pa.int64()),  # 0, 1, 2, ... within the dialogue
        ("speaker", TEXT),
        ("text", TEXT),  # "": no transcript
        ("label", TEXT),  # "": unlabelled
        ("audio_path", TEXT),  # POSIX, relative to the root if inside it; for a missing file, where it should be
        ("audio_sha256", TEXT),  # "": no such file
        ("audio_start", SECONDS),  # NaN: the start of the file
        ("audio_end", SECONDS),
        ("visual_path", TEXT),
        ("visual_sha256", TEXT),
        ("visual_start", SECONDS),
        ("visual_end", SECONDS),
        ("crop", TEXT),  # the half of the frame that holds the speaker: "", "left", "right"
        ("track", SECONDS),  # which sound track of the file, from 1 on; NaN: FFmpeg chooses
        ("channel", SECONDS),  # which channel of the track, from 1 on; NaN: all, mixed
        ("region", TEXT),  # the part of the frame that holds the speaker: "", or shares "left,top,right,bottom"
        ("fold", TEXT),  # the fold of a cross-validation that tests this row; "": there is none
        ("value", SECONDS),  # what a regression predicts; NaN: unlabelled
    ]
)
COLUMNS = tuple(SCHEMA.names)
CONTENT = tuple(name for name in COLUMNS if not name.endswith("_path"))
LATER = ("track", "channel", "region", "fold", "value")
"""Columns that were added later. An empty one changes no digest."""
CONTROL = r"[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]"
_ODD_SEGMENT = r"(^|/)\.{0,2}(/|$)|\\"


def arrow_table(corpus: str, table: pd.DataFrame | Mapping[str, Any]) -> pa.Table:
    """``table`` (a frame, or columns by name) in :data:`SCHEMA`. NaN seconds become null.

    Raises:
        CorpusError: a column is missing or not of its type, or a text is null.
    """
    if tuple(table) != COLUMNS:
        raise CorpusError(f"{corpus}: expected the columns {', '.join(COLUMNS)}, found {', '.join(map(str, table))}")
    return pa.Table.from_arrays([_arrow_column(corpus, column, table[column.name]) for column in SCHEMA], schema=SCHEMA)


def with_later(table: pa.Table) -> pa.Table:
    """An older manifest's ``table`` with the later columns that it lacks, unset. Any other is returned unchanged."""
    lacking = [field for field in SCHEMA if field.name not in table.schema.names]
    if any(field.name not in LATER for field in lacking):
        return table
    if table.schema != pa.schema([field for field in SCHEMA if field not in lacking]):
        return table
    for field in lacking:
        unset = pa.repeat(pa.scalar("" if field.type == TEXT else np.nan, field.type), table.num_rows)
        table = table.append_column(field, unset)
    return table.select(SCHEMA.names)


def _arrow_column(corpus: str, column: pa.Field, values: Any) -> pa.Array:
    try:
        # an empty text column of pandas has no reliable Arrow type
        array = pa.array(values if len(values) else [], type=column.type, from_pandas=True)
    except (pa.ArrowException, UnicodeError) as error:
        reason = str(error).splitlines()[0]
        raise CorpusError(f"{corpus}: column {column.name}: expected {column.type}, found {reason}") from None
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    if column.type == SECONDS:
        return pc.fill_null(array, np.nan)
    if array.null_count:
        row = pc.index(pc.is_null(array), True).as_py()
        raise CorpusError(f"{corpus}: row {row}: expected a value in column {column.name}, found none")
    return array


def content_digest(table: pa.Table, labels: Sequence[str], columns: Sequence[str] = CONTENT) -> str:
    """SHA-256 over ``labels`` and, column by column, over ``columns`` of ``table`` (default: all but the paths)."""
    whole = hashlib.sha256(canonical({"labels": labels, "rows": table.num_rows}))
    for name in columns:
        if name in LATER and _is_unset(table[name]):
            continue
        whole.update(name.encode())
        chunks = table[name].chunks  # joined to one column without a copy
        if table[name].type == TEXT:
            places = [np.frombuffer(c.buffers()[1] or b"", "<i8")[c.offset :][: len(c) + 1] for c in chunks]
            for offsets in places:
                whole.update(np.diff(offsets).tobytes())
            for chunk, offsets in zip(chunks, places, strict=True):
                if len(offsets) and chunk.buffers()[2] is not None:
                    whole.update(memoryview(chunk.buffers()[2])[offsets[0] : offsets[-1]])
        else:
            for chunk in chunks:
                values = chunk.to_numpy(zero_copy_only=False)
                whole.update(np.where(np.isnan(values), np.nan, values + 0.0).astype("<f8").tobytes())
    return whole.hexdigest()


def _is_unset(column: pa.ChunkedArray) -> bool:
    unset = pc.equal(column, "") if column.type == TEXT else pc.is_nan(column)
    return pc.all(unset).as_py() is not False  # None: there are no rows


def region_of(text: str) -> tuple[float, float, float, float] | None:
    """A region's shares, or ``None`` if there is no region.

    Raises:
        ValueError: it is not four numbers from 0 to 1, left before right and top before bottom.
    """
    if not text:
        return None
    left, top, right, bottom = (float(part) for part in text.split(","))
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"{text}: no part of a frame")
    return left, top, right, bottom


def is_region(text: str) -> bool:
    """Whether a cell holds a region's shares, or nothing."""
    try:
        region_of(text)
    except ValueError:
        return False
    return True


def check(corpus: str, table: pa.Table, labels: Sequence[str]) -> None:
    """Check ``table`` (of :data:`SCHEMA`) against the rules.

    Raises:
        CorpusError: the first row that breaks one, what was expected there and what was found.
    """

    def require(bad: Any, expected: str, column: str) -> None:
        places = np.flatnonzero(np.asarray(bad))
        if len(places):
            row = int(places[0])
            name, found = table["utterance"][row].as_py(), table[column][row].as_py()
            raise CorpusError(
                f"{corpus}: row {row} (utterance {name!r}): expected {expected}, found {column} {found!r}"
            )

    def matches(column: str, pattern: str) -> Any:
        return pc.match_substring_regex(table[column], pattern)

    def outside(column: str, values: Iterable[str]) -> Any:
        return pc.invert(pc.is_in(table[column], pa.array(list(values), TEXT)))

    for column in ("utterance", "dialogue"):
        require(matches(column, CONTROL), "an id without control characters", column)
        require(matches(column, _ODD_SEGMENT), "an id without backslashes and empty, . or .. parts", column)
    for column in ("speaker", "label", "audio_path", "visual_path", "fold"):
        require(matches(column, CONTROL), "no control characters", column)
    require(matches("text", r"\x00"), "a transcript without NUL", "text")
    require(pd.Series(table["utterance"].to_pandas()).duplicated(), "an id that no other utterance has", "utterance")
    require(outside("split", [split.value for split in Split]), f"one of {', '.join(Split)}", "split")
    require(outside("label", ["", *labels]), f"one of {', '.join(labels)} or none", "label")
    require(outside("crop", ["", "left", "right"]), "left, right or none", "crop")
    require(np.isinf(table["value"].to_numpy()), "a finite number or none", "value")
    for column in ("track", "channel"):
        numbers = table[column].to_numpy()
        wrong = ~np.isnan(numbers) & ((numbers < 1) | (numbers != np.floor(numbers)))
        require(wrong, "a number from 1 on or none", column)
    regions = table["region"].to_pylist()
    require([not is_region(text) for text in regions], "shares of the frame (left,top,right,bottom) or none", "region")
    both = [bool(text) and bool(crop) for text, crop in zip(regions, table["crop"].to_pylist(), strict=True)]
    require(both, "a crop or a region, not both", "region")
    _check_order(table, require)
    for kind in ("audio", "visual"):
        digest, start, end = (table[f"{kind}_{part}"] for part in ("sha256", "start", "end"))
        require(pc.invert(pc.match_substring_regex(digest, "^([0-9a-f]{64})?$")), "a SHA-256 or none", f"{kind}_sha256")
        require(pc.or_(pc.less(start, 0), pc.is_inf(start)), "a start from 0 s on", f"{kind}_start")
        require(pc.or_(pc.less_equal(end, pc.if_else(pc.is_nan(start), 0.0, start)), pc.is_inf(end)),
                "an end after the start", f"{kind}_end")  # fmt: skip


def _check_order(table: pa.Table, require: Any) -> None:
    """Every dialogue is one block of rows in one split and one fold, with turns 0, 1, 2, ...

    Either every row has a fold or none has.
    """
    dialogue: NDArray[np.int64] = pd.factorize(table["dialogue"].to_pandas())[0]
    opens = np.diff(dialogue, prepend=-1) != 0
    rows = np.arange(len(dialogue))
    first = np.maximum.accumulate(np.where(opens, rows, 0)) if len(rows) else rows
    require(opens & pd.Series(dialogue).duplicated().to_numpy(), "a dialogue's rows side by side", "dialogue")
    require(table["turn"].to_numpy() != rows - first, "turns 0, 1, 2, ... in each dialogue", "turn")
    split = pd.factorize(table["split"].to_pandas())[0]
    require(split != split[first] if len(rows) else [], "each dialogue in one split", "split")
    fold = pd.factorize(table["fold"].to_pandas())[0]
    require(fold != fold[first] if len(rows) else [], "each dialogue in one fold", "fold")
    none = pc.equal(table["fold"], "").to_numpy()
    require(none if not none.all() else [], "a fold in every row, as in others", "fold")
