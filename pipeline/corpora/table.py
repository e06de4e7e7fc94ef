"""A user's own table (CSV, TSV or Parquet), one row for each utterance -> a manifest.

An utterance's id is its dialogue and turn: ``interview-3/12``. Dialogues come in the order of their first rows. Without
a split column they are dealt out by the SHA-256 of their ids, about 80 / 10 / 10 in train, valid and test.

Unlike a published corpus, a table of one's own is to be right: the first row that is not stops the ingest. Media must
lie inside one folder, the table's own or ``media_root``; naming another folder there is how files elsewhere are let in.
"""

from __future__ import annotations

import math
import os.path
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, assemble, silent
from bigfusion.pipeline.corpora.deal import deal
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.tables.encoding import plain
from bigfusion.pipeline.tables.tables import Table, read_table

SPLITS = {split.value: split.value for split in Split} | dict.fromkeys(("dev", "val", "validation"), Split.VALID.value)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ODD_SEGMENT = re.compile(r"(^|/)\.{0,2}(/|$)|\\")
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?")


class ColumnSettings(Settings):
    """What the table calls each thing; ``""``: there is none.

    The first six must be there (``media`` only where neither ``audio`` nor ``visual`` is); the others may be.
    """

    dialogue: str = Field(default="dialogue", min_length=1)
    turn: str = Field(default="turn", min_length=1)
    speaker: str = Field(default="speaker", min_length=1)
    text: str = "text"
    label: str = "label"
    media: str = "media"
    audio: str = "audio"
    visual: str = "visual"
    start: str = "start"
    end: str = "end"
    split: str = "split"
    crop: str = "crop"


_EXPECTED = ("dialogue", "turn", "speaker", "text", "label", "media")


class TableSettings(Settings):
    """``kind = "table"``: a table of utterances.

    ``labels`` fixes the classes and their order (otherwise those of the table, sorted); ``name`` is the corpus's name
    (otherwise the file's).
    """

    kind: Literal["table"]
    path: Path
    media_root: Path | None = None
    columns: ColumnSettings = ColumnSettings()
    labels: tuple[str, ...] = ()
    name: str = ""


def scan(settings: TableSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a table.

    Raises:
        CorpusError: the table is missing, lacks a column, or a row is not what it should be: the message names the row,
            the column, what was expected and what was found.
    """
    path = settings.path.expanduser().absolute()
    root = (settings.media_root.expanduser() if settings.media_root else path.parent).absolute()
    rows = Rows(*_table(path, settings.columns))
    columns = rows.columns(root)
    labels = settings.labels or tuple(sorted({*columns["label"]} - {""}))
    rows.require("label", (label in ("", *labels) for label in rows.cells("label")), f"one of {', '.join(labels)}")
    name = settings.name or path.stem
    return assemble(name, root, labels, columns, (), digests=digests, progress=progress)


def _table(path: Path, names: ColumnSettings) -> tuple[Table, dict[str, str]]:
    """The table and, for each role that it has, the column that plays it."""
    roles = {role: name for role, name in names if name}
    table = read_table(path, dict.fromkeys(roles.values()))
    found = {role: name for role, name in roles.items() if name in table.columns}
    needed = [*_EXPECTED, *names.model_fields_set]
    for role, name in roles.items():
        if role not in found and role in needed and not (role == "media" and {"audio", "visual"} & found.keys()):
            raise CorpusError(
                f"{path}: expected a column {name!r}, found {', '.join(table.header)[:200]}; "
                f"name the {role} column with corpus.columns.{role}"
            )
    if not len(table):
        raise CorpusError(f"{path}: expected at least one row below the header, found none")
    return table, found


@dataclass(frozen=True)
class Rows:
    """The rows of a table, with the column that plays each role."""

    table: Table
    roles: dict[str, str]

    def cells(self, role: str) -> list[str]:
        """A role's cells, stripped; empty ones where no column plays it."""
        if role not in self.roles:
            return [""] * len(self.table)
        return [cell.strip() for cell in self.table.columns[self.roles[role]]]

    def require(self, role: str, good: Iterable[bool], expected: str) -> None:
        """Refuse the first cell that is not ``good``, if a column plays this role."""
        if role in self.roles:
            self.table.require(self.roles[role], good, expected)

    def columns(self, root: Path) -> dict[str, Any]:
        """The manifest's columns, checked and in order."""
        dialogue, turn = self._dialogues(), self._turns()
        start, end = self._times()
        audio, visual = (self._media(kind if kind in self.roles else "media", root) for kind in ("audio", "visual"))
        columns: dict[str, list[Any]] = {
            "utterance": [f"{name}/{number}" for name, number in zip(dialogue, turn, strict=True)],
            "split": self._splits(dialogue),
            "dialogue": dialogue,
            "speaker": self._words("speaker", "a name", empty=False),
            "text": [plain(text) for text in self.cells("text")],
            "label": self._words("label", "a label or nothing", empty=True),
            "audio_path": audio,
            "audio_start": start,
            "audio_end": end,
            "visual_path": visual,
            "visual_start": start,
            "visual_end": end,
            "crop": self._crops(),
        }
        order, turns = self._order(dialogue, turn)
        return {name: [values[row] for row in order] for name, values in columns.items()} | {"turn": turns}

    def _dialogues(self) -> list[str]:
        dialogue = self.cells("dialogue")
        safe = {name: not (_CONTROL.search(name) or _ODD_SEGMENT.search(name)) for name in set(dialogue)}
        expected = "an id without control characters, backslashes and empty, . or .. parts"
        self.require("dialogue", (safe[name] for name in dialogue), expected)
        return dialogue

    def _turns(self) -> list[int]:
        matches = [_WHOLE.fullmatch(cell) for cell in self.cells("turn")]
        self.require("turn", (match is not None for match in matches), "a whole number")
        return [int(match[1]) for match in matches if match]

    def _words(self, role: str, expected: str, empty: bool) -> list[str]:
        words = self.cells(role)
        self.require(role, ((bool(word) or empty) and not _CONTROL.search(word) for word in words), expected)
        return words

    def _crops(self) -> list[str]:
        crops = [cell.lower() for cell in self.cells("crop")]
        self.require("crop", (crop in ("", "left", "right") for crop in crops), "left, right or nothing")
        return crops

    def _times(self) -> tuple[list[float], list[float]]:
        """Start and end in seconds, NaN where the cell is empty."""
        start, end = ([_seconds(cell) for cell in self.cells(role)] for role in ("start", "end"))
        for role, times in (("start", start), ("end", end)):
            self.require(role, (time is not None for time in times), "seconds from 0 on, or nothing")
        first, last = ([math.nan if time is None else time for time in times] for times in (start, end))
        in_order = (not b <= (0 if math.isnan(a) else a) for a, b in zip(first, last, strict=True))  # NaN passes
        self.require("end", in_order, "an end after the start")
        return first, last

    def _splits(self, dialogue: list[str]) -> list[str]:
        """Each row's split: the table's, or dealt by dialogue."""
        if "split" not in self.roles:
            dealt = deal(dialogue)
            return [dealt[name] for name in dialogue]
        splits = [SPLITS.get(cell.lower(), "") for cell in self.cells("split")]
        self.require("split", map(bool, splits), f"one of {', '.join(SPLITS)}")
        first: dict[str, str] = {}
        same = (first.setdefault(name, split) == split for name, split in zip(dialogue, splits, strict=True))
        self.require("split", same, "the split of the dialogue's first row: a dialogue lies in one split")
        return splits

    def _media(self, role: str, root: Path) -> list[str]:
        """Paths relative to ``root``, POSIX, ``""`` where the cell is empty."""
        cells = self.cells(role)
        inside = {cell: _inside(cell, root) for cell in set(cells)}
        expected = f"a path inside {root} (corpus.media_root names another folder)"
        self.require(role, (inside[cell] is not None for cell in cells), expected)
        return [inside[cell] or "" for cell in cells]

    def _order(self, dialogue: list[str], turn: list[int]) -> tuple[list[int], list[int]]:
        """The rows by dialogue (first appearance) and turn, and each one's place in its dialogue."""
        code = pd.factorize(np.array(dialogue, dtype=object))[0]
        order = np.lexsort((np.array(turn), code))
        code, number = code[order], np.array(turn)[order]
        again = np.flatnonzero((np.diff(code) == 0) & (np.diff(number) == 0))
        if len(again):
            first, second = order[again[0]], order[again[0] + 1]
            where = self.table.where(int(first))
            self.table.refuse(
                int(second), self.roles["turn"], f"a turn that the dialogue does not have ({where} has it)"
            )
        opens = np.diff(code, prepend=-1) != 0
        places = np.arange(len(order))
        return order.tolist(), (places - np.maximum.accumulate(np.where(opens, places, 0))).tolist()


def _seconds(cell: str) -> float | None:
    """Seconds, NaN for an empty cell, ``None`` for anything else."""
    if not cell:
        return math.nan
    try:
        time = float(cell)
    except ValueError:
        return None
    return time if math.isfinite(time) and time >= 0 else None


def _inside(cell: str, root: Path) -> str | None:
    """``cell`` relative to ``root``, or ``None`` where it is no path or leads elsewhere. Symbolic links may lead on."""
    if not cell:
        return ""
    if _CONTROL.search(cell):
        return None
    folder = os.path.join(os.path.normpath(root), "")  # noqa: PTH118 - a million of these: text is ten times faster
    place = os.path.normpath(os.path.join(folder, cell))  # noqa: PTH118
    return place[len(folder) :] if place.startswith(folder) and place != folder else None
