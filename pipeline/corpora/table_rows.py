"""The rows of a user's table, checked one by one: what each column may hold, and the first cell that breaks a rule."""

from __future__ import annotations

import json
import math
import os.path
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bigfusion.pipeline.corpora.folds import divide
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.rows import is_region
from bigfusion.pipeline.tables import splits, times
from bigfusion.pipeline.tables.classes import composed, settle
from bigfusion.pipeline.tables.encoding import plain
from bigfusion.pipeline.tables.numbers import numbers
from bigfusion.pipeline.tables.tables import Table

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ODD_SEGMENT = re.compile(r"(^|/)\.{0,2}(/|$)|\\")
_EXPORTED_NONE = frozenset(("nan", "NaN", "NULL", "null", "None", "<NA>", "N/A", "#N/A"))
_LABEL = re.compile("label|emotion|class|category|sentiment|affect", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?")


@dataclass(frozen=True)
class Rows:
    """The rows of a table, and the column that plays each role."""

    table: Table
    roles: dict[str, str]

    def cells(self, role: str) -> list[str]:
        """A role's cells, stripped. They are empty if no column plays the role."""
        if role not in self.roles:
            return [""] * len(self.table)
        return [cell.strip() for cell in self.table.columns[self.roles[role]]]

    def require(self, role: str, good: Iterable[bool], expected: str) -> None:
        """Refuse the first cell that is not ``good``, if a column plays this role."""
        if role in self.roles:
            self.table.require(self.roles[role], good, expected)

    def labels(self, known: tuple[str, ...], label_map: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
        """The class of each row (``""`` for none), and what was decided about the classes."""
        if "label" not in self.roles:
            return [""] * len(self.table), ()
        self._words("label", "a label or nothing", empty=True)
        try:
            settled = settle(self.cells("label"), known, label_map)
        except CorpusError as error:
            raise CorpusError(f"{self.table.path}: {error}") from None
        classes = {"", *map(composed, known)}
        if known:
            expected = f"one of {', '.join(known)} (corpus.labels; corpus.label_map maps others)"
            self.require("label", (label in classes for label in settled.labels), expected)
        return settled.labels, settled.notes

    def values(self) -> list[float]:
        """The number of each row, for a regression; NaN for none."""
        try:
            return numbers(self.cells("label"))
        except CorpusError as error:
            raise CorpusError(f"{self.table.path}: {error}") from None

    def notes(self) -> list[str]:
        """What a person should know about the table as a whole."""
        notes = []
        if "label" not in self.roles:
            header = ", ".join(self.table.header)[:200]
            name = next((name for name in self.table.header if _LABEL.search(name)), "NAME")
            notes.append(
                f"no label column among {header}: nothing to train on; write corpus.columns.label = {json.dumps(name)}"
            )
        words = [cell for cell in self.cells("text") if cell in _EXPORTED_NONE]
        if words:
            kinds = ", ".join(sorted({*words}))
            notes.append(
                f"{len(words)} transcripts are {kinds} and are read as words; empty the cells if there is none"
            )
        return notes

    def columns(
        self, root: Path, label: list[str], split_by: str, folds: int | str = "", value: Sequence[float] = ()
    ) -> dict[str, Any]:
        """The manifest's columns, checked and in order."""
        dialogue, turn = self._dialogues(), self._turns()
        start, end = self._times()
        audio, visual = (self._media(kind if kind in self.roles else "media", root) for kind in ("audio", "visual"))
        columns: dict[str, list[Any]] = {
            "utterance": [f"{name}/{number}" for name, number in zip(dialogue, turn, strict=True)],
            **self._divided(dialogue, split_by, folds),
            "dialogue": dialogue,
            "speaker": self._words("speaker", "a name", empty=False),
            "text": [composed(plain(text)) for text in self.cells("text")],
            "label": label,
            "value": list(value) or [math.nan] * len(label),
            "audio_path": audio,
            "audio_start": start,
            "audio_end": end,
            "visual_path": visual,
            "visual_start": start,
            "visual_end": end,
            "crop": self._crops(),
            "track": self._numbers("track"),
            "channel": self._numbers("channel"),
            "region": self._regions(),
        }
        order, turns = self._order(dialogue, turn)
        return {name: [values[row] for row in order] for name, values in columns.items()} | {"turn": turns}

    def _dialogues(self) -> list[str]:
        dialogue = [composed(cell) for cell in self.cells("dialogue")]
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
        return [composed(word) for word in words]

    def _crops(self) -> list[str]:
        crops = [cell.lower() for cell in self.cells("crop")]
        self.require("crop", (crop in ("", "left", "right") for crop in crops), "left, right or nothing")
        return crops

    def _numbers(self, role: str) -> list[float]:
        """A track or channel, counted from 1; NaN if the cell is empty."""
        cells = self.cells(role)
        matches = [_WHOLE.fullmatch(cell) for cell in cells]
        good = (
            not cell or (match is not None and int(match[1]) >= 1) for cell, match in zip(cells, matches, strict=True)
        )
        self.require(role, good, f"a {role}'s number from 1 on, or nothing")
        return [float(match[1]) if match else math.nan for match in matches]

    def _regions(self) -> list[str]:
        cells = self.cells("region")
        expected = "left,top,right,bottom as shares of the frame from 0 to 1, or nothing"
        self.require("region", (is_region(cell) for cell in cells), expected)
        both = (not (region and crop) for region, crop in zip(cells, self.cells("crop"), strict=True))
        self.require("region", both, "a region or a crop, not both")
        return cells

    def _times(self) -> tuple[list[float], list[float]]:
        """Start and end in seconds; NaN if the cell is empty."""
        comma = self.table.delimiter == ";"  # for countries that write 1,5 for one and a half
        start, end = ([times.seconds(cell, comma) for cell in self.cells(role)] for role in ("start", "end"))
        for role, found in (("start", start), ("end", end)):
            self.require(role, (time is not None for time in found), times.EXPECTED)
        first, last = ([math.nan if time is None else time for time in found] for found in (start, end))
        in_order = (not b <= (0 if math.isnan(a) else a) for a, b in zip(first, last, strict=True))  # also NaN
        self.require("end", in_order, "an end after the start")
        return first, last

    def _divided(self, dialogue: list[str], split_by: str, folds: int | str) -> dict[str, list[str]]:
        """The columns split and fold: from the table, or assigned by dialogue, by ``split_by`` or by ``folds``."""
        cells = self.cells("split")
        if not any(cells):  # no such column, or nobody filled it
            by = composed(folds if isinstance(folds, str) and folds else split_by)
            columns = {by: self._values(by, "corpus.folds" if isinstance(folds, str) and folds else "corpus.split_by")}
            folds = composed(folds) if isinstance(folds, str) else folds
            return divide(str(self.table.path), dialogue, columns if by else {}, composed(split_by), folds)
        if split_by or folds:
            raise CorpusError(
                f"{self.table.path}: expected splits from the column {self.roles['split']!r} or from "
                f'corpus.{"folds" if folds else "split_by"}, found both; write corpus.columns.split = "" to deal them '
                "anew"
            )
        return {"split": self._splits(dialogue, cells)}

    def _splits(self, dialogue: list[str], cells: list[str]) -> list[str]:
        """The split of each row, from the table."""
        found = [splits.split_of(cell) for cell in cells]
        self.require("split", map(bool, found), f"one of {', '.join(splits.NAMES)}")
        try:
            splits.check_spellings(cells)
        except CorpusError as error:
            raise CorpusError(f"{self.table.path}: {error}") from None
        first: dict[str, str] = {}
        same = (first.setdefault(name, split) == split for name, split in zip(dialogue, found, strict=True))
        self.require("split", same, "the split of the dialogue's first row: a dialogue lies in one split")
        return found

    def _values(self, by: str, setting: str) -> list[str]:
        """The column ``by``, or the column that plays the role of this name, to deal the dialogues by."""
        if not by:
            return []
        column = by if by in self.table.columns else self.roles.get(by, by)
        if column not in self.table.columns:
            header = ", ".join(self.table.header)[:200]
            raise CorpusError(f"{self.table.path}: expected a column {column!r} ({setting}), found {header}")
        values = [composed(cell.strip()) for cell in self.table.columns[column]]
        self.table.require(column, map(bool, values), f"a value to deal the splits by ({setting})")
        return values

    def _media(self, role: str, root: Path) -> list[str]:
        """Paths relative to ``root``, POSIX; ``""`` if the cell is empty."""
        cells = self.cells(role)
        inside = {cell: _inside(cell, root) for cell in set(cells)}
        expected = f"a path inside {root} (corpus.media_root names another folder)"
        self.require(role, (inside[cell] is not None for cell in cells), expected)
        return [inside[cell] or "" for cell in cells]

    def _order(self, dialogue: list[str], turn: list[int]) -> tuple[list[int], list[int]]:
        """The rows by dialogue (first appearance) and turn, and the position of each row in its dialogue."""
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


def _inside(cell: str, root: Path) -> str | None:
    """``cell`` relative to ``root``; ``None`` if it is no path or leads outside. Symbolic links may lead outside."""
    if not cell:
        return ""
    if _CONTROL.search(cell):
        return None
    folder = os.path.join(os.path.normpath(root), "")  # noqa: PTH118 - a million of these: text is ten times faster
    place = os.path.normpath(os.path.join(folder, cell))  # noqa: PTH118
    return place[len(folder) :] if place.startswith(folder) and place != folder else None
