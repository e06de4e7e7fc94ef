"""A user's own table (CSV, TSV or Parquet), with one row for each utterance -> a manifest.

An utterance's id is its dialogue and turn: ``interview-3/12``. Dialogues come in the order of their first rows. Without
a split column, the SHA-256 of a dialogue's id assigns it to train, valid or test (about 80 / 10 / 10). With
``split_by``, the hash of a speaker or of any other column does; ``folds`` makes a cross-validation instead. A table
without labels can be extracted but not trained on.

Unlike a published corpus, a user's table must be correct: ingest stops at the first wrong row. Media must lie inside
one folder: the table's folder or ``media_root``. To use files elsewhere, name another folder there.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from bigfusion.pipeline.corpora.base import Progress, assemble, silent
from bigfusion.pipeline.corpora.file_names import on_disk
from bigfusion.pipeline.corpora.folds import FOLDS, SPLIT_BY, Folds
from bigfusion.pipeline.corpora.table_rows import Rows
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.tables.classes import composed
from bigfusion.pipeline.tables.numbers import TASK, Task, without_classes
from bigfusion.pipeline.tables.tables import Table, read_table


class ColumnSettings(Settings):
    """The table's name for each column; ``""`` means that there is no such column.

    The first four are required, and ``media`` if neither ``audio`` nor ``visual`` is there. The others are optional.
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
    track: str = "track"
    channel: str = "channel"
    region: str = "region"


_EXPECTED = ("dialogue", "turn", "speaker", "text", "media")


class TableSettings(Settings):
    """``kind = "table"``: a table of utterances."""

    kind: Literal["table"]
    path: Path
    media_root: Path | None = Field(default=None, description="the folder of the media; none: the table's own")
    encoding: str = Field(default="", description='of a CSV or TSV, e.g. "gb18030", "cp1251"; "": as the file shows')
    delimiter: str = Field(default="", description='what separates its cells, e.g. ";" or "tab"; "": as it shows')
    columns: ColumnSettings = ColumnSettings()
    task: Task = Field(default="classes", description=TASK)
    labels: tuple[str, ...] = Field(default=(), description="the classes in order; none: those of the table, sorted")
    label_map: dict[str, str] = Field(default={}, description='renames or merges labels; "" makes one no label')
    split_by: str = Field(default="", description=SPLIT_BY)
    folds: Folds = Field(default="", description=FOLDS)
    name: str = Field(default="", description="the corpus's name; none: the file's")

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str) -> str:
        name = value.strip().replace(" ", "-")
        try:
            "a".encode(name or "utf-8")  # codecs.lookup would also accept base64, a codec that is no text encoding
        except (LookupError, UnicodeError):
            raise ValueError(
                "expected an encoding such as utf-8, utf-16, gb18030, cp932, cp1251, cp1252 or mac_roman"
            ) from None
        return codecs.lookup(name).name if name else ""

    @field_validator("delimiter")
    @classmethod
    def _delimiter(cls, value: str) -> str:
        value = "\t" if value.lower() in ("tab", "\\t") else value
        if len(value) > 1 or (value and (value.isalnum() or value in '"\r\n')):
            raise ValueError('expected one sign, for instance ",", ";" or "tab"')
        return value


def scan(settings: TableSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a table.

    Raises:
        CorpusError: the table is missing, lacks a column, or a row is not what it should be: the message names the row,
            the column, what was expected and what was found.
    """
    path = on_disk(settings.path.expanduser().absolute())
    root = on_disk(settings.media_root.expanduser().absolute()) if settings.media_root else path.parent
    rows = Rows(*_table(path, settings))
    value: list[float] = []
    decided: tuple[str, ...] = ()
    if settings.task == "regression":
        without_classes(settings.labels, settings.label_map)
        label, value = [""] * len(rows.table), rows.values()
    else:
        label, decided = rows.labels(settings.labels, settings.label_map)
    columns = rows.columns(root, label, settings.split_by, settings.folds, value)
    labels = tuple(map(composed, settings.labels)) or tuple(sorted({*label} - {""}))
    notes = (*rows.notes(), *decided)
    name = settings.name or path.stem
    return assemble(name, root, labels, columns, (), digests=digests, progress=progress, notes=notes)


def _table(path: Path, settings: TableSettings) -> tuple[Table, dict[str, str]]:
    """The table, and the column that plays each role, for the roles that it has."""
    names = settings.columns
    roles = {role: composed(name) for role, name in names if name}
    by = [settings.split_by, settings.folds if isinstance(settings.folds, str) else ""]
    wanted = dict.fromkeys([*roles.values(), *filter(None, map(composed, by))])
    table = read_table(path, wanted, encoding=settings.encoding, delimiter=settings.delimiter)
    found = {role: name for role, name in roles.items() if name in table.columns}
    label_needed = bool(settings.labels or settings.label_map) or settings.task == "regression"
    needed = [
        *_EXPECTED,
        *names.model_fields_set,
        *(["label"] if label_needed else []),
    ]
    for role, name in roles.items():
        if role not in found and role in needed and not (role == "media" and {"audio", "visual"} & found.keys()):
            raise CorpusError(
                f"{path}: expected a column {name!r}, found {', '.join(table.header)[:200]}; "
                f"name the {role} column with corpus.columns.{role}"
            )
    if not len(table):
        raise CorpusError(f"{path}: expected at least one row below the header, found none")
    return table, found
