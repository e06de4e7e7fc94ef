"""A user's own table (CSV, TSV or Parquet), one row for each utterance -> a manifest.

An utterance's id is its dialogue and turn: ``interview-3/12``. Dialogues come in the order of their first rows. Without
a split column they are dealt out by the SHA-256 of their ids, about 80 / 10 / 10 in train, valid and test.

Unlike a published corpus, a table of one's own is to be right: the first row that is not stops the ingest. Media must
lie inside one folder, the table's own or ``media_root``; naming another folder there is how files elsewhere are let in.
"""

from __future__ import annotations

import hashlib
import math
import os.path
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline.corpora.assemble import Progress, assemble, silent
from pipeline.corpora.encoding import plain
from pipeline.corpora.table import Table, read_table
from pipeline.digest import FileDigests
from pipeline.errors import CorpusError
from pipeline.manifest import Manifest
from pipeline.schema import Split
from pipeline.settings import Settings

SPLITS = {split.value: split.value for split in Split} | dict.fromkeys(("dev", "val", "validation"), Split.VALID.value)
SHARES = (0.8, 0.9)
"""A dialogue whose hash, in [0, 1), lies below the first is ``train``, below the second ``valid``, else ``test``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ODD_SEGMENT = re.compile(r"(^|/)\.{0,2}(/|$)|\\")
_WHOLE = re.compile(r"([+-]?\d{1,15})(\.0*)?")


class ColumnSettings(Settings):
    """What the table calls each thing; ``""``: there is none.

    The first six must be there (``media`` only where neither ``audio`` nor ``visual`` is); the others may be.
    """

    dialogue: str = "dialogue"
    turn: str = "turn"
    speaker: str = "speaker"
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
    table, columns = _table(path, settings.columns)
    labels = settings.labels or tuple(sorted(set(map(str.strip, table.columns[columns["label"]])) - {""}))
    rows = _rows(table, columns, root, labels)
    return assemble(settings.name or path.stem, root, labels, rows, (), digests=digests, progress=progress)


def _table(path: Path, names: ColumnSettings) -> tuple[Table, dict[str, str]]:
    """The table and, for each role that it has, the column that plays it."""
    roles = {role: name for role, name in names if name}
    table = read_table(path, dict.fromkeys(roles.values()))
    found = {role: name for role, name in roles.items() if name in table.columns}
    needed = [role for role in _EXPECTED if role in roles and not (role == "media" and {"audio", "visual"} & found.keys())]
    needed += [role for role in roles if role in names.model_fields_set and role not in needed]
    for role in needed:
        if role not in found:
            remedy = f"name it with corpus.columns.{role}, or set that to \"\" if there is none"
            raise CorpusError(f"{path}: expected a column {roles[role]!r} (the {role}), found none; {remedy}")
    for role in ("dialogue", "turn", "speaker", "label"):
        if role not in found:
            raise CorpusError(f"corpus.columns.{role}: every table needs this column; name it")
    if not len(table):
        raise CorpusError(f"{path}: expected at least one row below the header, found none")
    return table, found
