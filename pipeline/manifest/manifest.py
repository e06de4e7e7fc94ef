"""The manifest: one row for each utterance of a corpus. It is checked when it is made and when it is read.

It is one Parquet file. Its digest covers what the rows say and what the media contain, not where the media lie. Moving
a corpus changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, asdict, dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import canonical, digest
from bigfusion.pipeline.errors import CorpusError, FormatError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.manifest.context import contexts
from bigfusion.pipeline.manifest.rows import (
    COLUMNS,
    CONTROL,
    SCHEMA,
    SECONDS,
    TEXT,
    arrow_table,
    check,
    content_digest,
    region_of,
    with_later,
)
from bigfusion.pipeline.manifest.sides import split_notes
from bigfusion.pipeline.schema import ALONE, MediaSpan, Skipped, Split, Status, Utterance, Window

__all__ = ["COLUMNS", "Manifest"]

INCOMPLETE = frozenset((Status.MISSING_MEDIA.value, Status.MISSING_TRANSCRIPT.value))
"""Statuses of :attr:`Manifest.skipped` whose utterances are nevertheless in the manifest."""

FORMAT = 1
_HEADER, _HEADER_SHA256 = b"bigfusion.manifest", b"bigfusion.manifest.sha256"


@dataclass(frozen=True, eq=False)
class Manifest:
    """The utterances of one corpus, in order: dialogue by dialogue, turn by turn.

    ``labels`` gives the classes; a label's position is its class index. ``table`` has :data:`COLUMNS` and must not be
    modified. ``skipped`` lists what ingest could not use as intended: rows that were left out, and rows that are here
    but lack media or a transcript. ``notes`` say what was decided about the corpus as a whole. ``verified`` are the
    same rows when they are known to keep the rules (from a file that was written under the present rules, and whose
    digest agrees).

    Raises:
        CorpusError: a row breaks a rule that the rest of the house relies on; the message names it.
    """

    corpus: str
    root: Path
    labels: tuple[str, ...]
    table: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    verified: InitVar[pa.Table | None] = None

    def __post_init__(self, verified: pa.Table | None) -> None:
        if verified is not None:
            self.__dict__["arrow"] = verified
            return
        if not self.corpus or pc.match_substring_regex(pa.array([self.corpus]), rf"{CONTROL}|[/\\]|^\.").to_pylist()[0]:
            raise CorpusError(
                f"corpus name {self.corpus!r}: expected a word without slashes that does not start with ."
            )
        if len(set(self.labels)) != len(self.labels) or "" in self.labels:
            raise CorpusError(f"{self.corpus}: labels {list(self.labels)}: expected each once, none empty")
        check(self.corpus, self.arrow, self.labels)

    @classmethod
    def of(
        cls,
        corpus: str,
        root: Path,
        labels: Sequence[str],
        columns: Mapping[str, Any],
        skipped: Iterable[Skipped] = (),
        notes: Iterable[str] = (),
    ) -> Manifest:
        """A manifest from columns of plain values. Missing text columns are empty; missing seconds are NaN."""
        rows = len(columns["utterance"])
        blank = {TEXT: "", SECONDS: math.nan}
        whole = {f.name: columns[f.name] if f.name in columns else [blank.get(f.type)] * rows for f in SCHEMA}
        frame = arrow_table(corpus, whole).to_pandas()
        return cls(corpus, root, tuple(labels), frame, tuple(skipped), (*notes, *split_notes(frame)))

    def __len__(self) -> int:
        return len(self.table)

    @property
    def has_values(self) -> bool:
        """Whether numbers are to be predicted, not classes."""
        return not self.labels and bool(self.table["value"].notna().any())

    @cached_property
    def arrow(self) -> pa.Table:
        """The rows as an Arrow table of :data:`SCHEMA`."""
        return arrow_table(self.corpus, self.table)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows, their order, the labels and the media's digests. Paths do not count."""
        return content_digest(self.arrow, self.labels)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.table["utterance"].tolist())}

    def counts(self) -> dict[str, dict[str, Any]]:
        """``{"dialogues": {split: n}, "utterances": {split: n}, "labels": {split: {label: n}}}``, for splits that
        exist.
        """
        table = self.table
        splits = [split.value for split in Split if (table["split"] == split.value).any()]
        utterances = table["split"].value_counts()
        dialogues = table.drop_duplicates("dialogue")["split"].value_counts()
        labels = {split: table.loc[table["split"] == split, "label"].value_counts() for split in splits}
        return {
            "dialogues": {split: int(dialogues[split]) for split in splits},
            "utterances": {split: int(utterances[split]) for split in splits},
            "labels": {split: {name: int(labels[split].get(name, 0)) for name in self.labels} for split in splits},
        }

    def summary(self, path: Path | None = None) -> dict[str, Any]:
        """The output of ``bigfusion ingest --json``; ``path`` is where the manifest was written."""
        lacking = [item for item in self.skipped if item.status in INCOMPLETE]
        return {
            "corpus": self.corpus,
            "digest": self.digest,
            **self.counts(),
            "unlabelled": self._unlabelled(),
            "skipped": [asdict(item) for item in self.left_out],
            "skipped_counts": _by_status(self.left_out),
            "incomplete": [asdict(item) for item in lacking],
            "incomplete_counts": _by_status(lacking),
            "notes": list(self.notes),
            **({"path": str(path)} if path is not None else {}),
        }

    @property
    def left_out(self) -> list[Skipped]:
        """What ingest found in the corpus and left out of the manifest."""
        return [item for item in self.skipped if item.status not in INCOMPLETE]

    @property
    def incomplete(self) -> set[str]:
        """The utterances that lack media or a transcript."""
        return {item.item for item in self.skipped if item.status in INCOMPLETE}

    def _unlabelled(self) -> dict[str, int]:
        """The number of utterances without a label (of a regression: a number), by split, for splits that have any."""
        none = self.table["value"].isna() if self.has_values else self.table["label"] == ""
        splits = self.table.loc[none, "split"].value_counts()
        return {split.value: int(splits[split.value]) for split in Split if split.value in splits}

    def utterances(self, ids: Sequence[str] | None = None, window: Window = ALONE) -> list[Utterance]:
        """The utterances for extractors, with absolute paths, in the manifest's order or in that of ``ids``.

        Each has as much context as ``window`` says. If that is nothing, its context is ``None``.

        Raises:
            CorpusError: one of ``ids`` is not in the manifest.
        """
        table, rows = self.table, list(range(len(self.table)))
        if ids is not None:
            unknown = next((name for name in ids if name not in self._rows), None)
            if unknown is not None:
                raise CorpusError(
                    f"{self.corpus}: no utterance {unknown!r} in the manifest; `bigfusion ingest` lists them"
                )
            rows = [self._rows[name] for name in ids]
            table = table.iloc[rows]
        names, texts = table["utterance"].tolist(), table["text"].tolist()
        audio = [
            span and replace(span, track=_number(track), channel=_number(channel))
            for span, track, channel in zip(
                self._spans(table, "audio"), table["track"].tolist(), table["channel"].tolist(), strict=True
            )
        ]
        visual = [
            span and replace(span, crop=crop, region=region_of(region))
            for span, crop, region in zip(
                self._spans(table, "visual"), table["crop"].tolist(), table["region"].tolist(), strict=True
            )
        ]
        around = contexts(self.table, rows, window) if any(window) else [None] * len(table)
        return [Utterance(*parts) for parts in zip(names, texts, audio, visual, around, strict=True)]

    def _spans(self, table: pd.DataFrame, kind: str) -> list[MediaSpan | None]:
        parts = (table[f"{kind}_{part}"].tolist() for part in ("path", "sha256", "start", "end"))
        return [
            MediaSpan(self.root / path, sha256, _seconds(start), _seconds(end)) if sha256 else None
            for path, sha256, start, end in zip(*parts, strict=True)
        ]

    def write(self, path: Path) -> None:
        """Write one Parquet file, whole or not at all.

        Raises:
            CorpusError: the folder cannot be written.
        """
        header = canonical(
            {
                "format": FORMAT,
                "corpus": self.corpus,
                "root": str(self.root),
                "labels": self.labels,
                "digest": self.digest,
                "rules": _rules(),
                "skipped": [asdict(item) for item in self.skipped],
                "notes": self.notes,
            }
        )
        metadata = {_HEADER: header, _HEADER_SHA256: hashlib.sha256(header).hexdigest().encode()}
        table = self.arrow.replace_schema_metadata(metadata)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        try:
            write_whole(path, sink.getvalue().to_pybytes())
        except OSError as error:
            raise CorpusError(
                f"{path}: cannot be written ({error.strerror}); make room or correct the rights"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read what :meth:`write` wrote, and verify it.

        Raises:
            CorpusError: there is no such file, it is something else, or its content is not what its digest says.
            FormatError: a newer version of bigfusion wrote it.
        """
        remedy = "run `bigfusion ingest`"
        try:
            arrow = pq.read_table(
                pa.BufferReader(path.read_bytes()),
                page_checksum_verification=True,
                thrift_string_size_limit=2**31 - 1,  # a million missing files make a header of 100 MB
            )
        except FileNotFoundError:
            raise CorpusError(f"{path}: no such manifest; {remedy}") from None
        except (OSError, pa.ArrowException) as error:
            found = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusError(f"{path}: expected a manifest, found {found}; {remedy}") from None
        metadata = arrow.schema.metadata or {}
        header = metadata.get(_HEADER)
        try:
            arrow = with_later(arrow.replace_schema_metadata(None))
        except UnicodeError:
            raise CorpusError(f"{path}: expected a manifest, found a column whose name is no text; {remedy}") from None
        if header is None:
            raise CorpusError(f"{path}: expected a manifest, found a Parquet file of another kind; {remedy}")
        if hashlib.sha256(header).hexdigest().encode() != metadata.get(_HEADER_SHA256):
            raise CorpusError(f"{path}: the manifest's header is damaged; {remedy}")
        meta = json.loads(header.decode("utf-8", "surrogatepass"))
        check_format(path, meta.get("format", 1), FORMAT)
        _check_columns(path, arrow.schema, remedy)
        skipped = tuple(Skipped(**item) for item in meta["skipped"])
        verified = arrow if meta.get("rules") == _rules() else None
        frame = arrow.to_pandas()
        notes = tuple(meta.get("notes", ()))
        manifest = cls(meta["corpus"], Path(meta["root"]), tuple(meta["labels"]), frame, skipped, notes, verified)
        if manifest.digest != meta["digest"]:
            raise CorpusError(f"{path}: the manifest's rows differ from its digest; {remedy}")
        return manifest


def _check_columns(path: Path, found: pa.Schema, remedy: str) -> None:
    if found == SCHEMA:
        return
    more = [name for name in found.names if name not in COLUMNS]
    if more and len(found) > len(SCHEMA):  # a later column changes no format number
        raise FormatError(
            f"{path}: expected the columns of a manifest, found {', '.join(more)} beside them: a newer version of"
            " bigfusion wrote it; use that version here, or write it again with `bigfusion ingest`"
        )
    raise CorpusError(f"{path}: expected the columns of a manifest, found others; {remedy}")


def _by_status(items: Iterable[Skipped]) -> dict[str, int]:
    return dict(Counter(item.status for item in items))


def _seconds(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


@cache
def _rules() -> str:
    """Digest of the code that checks rows. Rows written under the same code need not be checked again."""
    return digest(code_digests("bigfusion.pipeline.manifest.rows"))
