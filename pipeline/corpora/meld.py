"""MELD.Raw: three CSV files and three folders of clips -> a manifest.

An utterance's id is its split, dialogue and number: ``train/dia0_utt3``, ``valid/dia0_utt0``, ``test/dia0_utt0``
(dialogue numbers start again in every split; the split that the corpus calls dev is ``valid`` here). Dialogues come in
the order of their numbers, utterances in the order of theirs, which have gaps.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, assemble, columns_of, corpus_folder, silent
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped, Split
from bigfusion.pipeline.tables.encoding import plain, read
from bigfusion.pipeline.tables.labels import MELD as LABELS

NUMBERS = ("Dialogue_ID", "Utterance_ID")
COLUMNS = ("Utterance", "Speaker", *NUMBERS)
LABEL_COLUMNS = {"emotion": ("Emotion", LABELS), "sentiment": ("Sentiment", ("neutral", "positive", "negative"))}
"""The column and the classes of each kind of label; the sentiments in the order of the field's codes."""
LONGEST_RECORD = 10
"""The largest number of lines of a record. A longer one means that a quote is never closed."""


@dataclass(frozen=True)
class Part:
    """MELD.Raw's names for one split: its CSV, its folder of clips, and the folder that its archive unpacks to."""

    split: Split
    csv: str
    clips: str
    archive: str


PARTS = (
    Part(Split.TRAIN, "train_sent_emo.csv", "train_splits", "train"),
    Part(Split.VALID, "dev_sent_emo.csv", "dev_splits_complete", "dev"),
    Part(Split.TEST, "test_sent_emo.csv", "output_repeated_splits_test", "test"),
)


class MeldSettings(MappedSettings):
    """``kind = "meld"``: the folder MELD.Raw, and which of its two labels to use."""

    kind: Literal["meld"]
    root: Path
    labels: Literal["emotion", "sentiment"] = Field(
        default="emotion", description="seven emotions, or three sentiments"
    )


class Row(NamedTuple):
    """One utterance as in its CSV."""

    dialogue: int
    number: int
    speaker: str
    text: str
    label: str


def scan(settings: MeldSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a MELD.Raw folder, its media present or not.

    Raises:
        CorpusError: the folder or a CSV is missing, or a CSV lacks a column. A row that cannot be used is no error:
            it is listed as skipped.
    """
    root = corpus_folder(settings.root, "MELD.Raw")
    files = annotation_files(root)
    skipped: list[Skipped] = []
    records = []
    column, labels = LABEL_COLUMNS[settings.labels]
    for part, file in files.items():
        rows = _read(file, skipped, column, labels)
        clips = _clip_folder(root, part)
        for dialogue, turns in itertools.groupby(sorted(rows), key=lambda row: row.dialogue):
            for turn, row in enumerate(turns):
                clip = f"{clips}/dia{dialogue}_utt{row.number}.mp4"
                records.append(
                    {
                        "utterance": f"{part.split}/dia{dialogue}_utt{row.number}",
                        "split": part.split.value,
                        "dialogue": f"{part.split}/dia{dialogue}",
                        "turn": turn,
                        "speaker": row.speaker,
                        "text": row.text,
                        "label": row.label,
                        "audio_path": clip,
                        "visual_path": clip,
                    }
                )
    if not records:
        raise CorpusError(f"{root}: no usable row in {', '.join(file.name for file in files.values())}")
    return assemble("meld", root, labels, columns_of(records), skipped, digests=digests, progress=progress)


def annotation_files(root: Path) -> dict[Part, Path]:
    """Every split's CSV, either at the top or inside the split's folder."""
    files = {}
    for part in PARTS:
        places = [root, root / part.archive, root / part.clips, root / part.archive / part.clips]
        found = next((place / part.csv for place in places if (place / part.csv).is_file()), None)
        if found is None:
            looked = ", ".join(place.relative_to(root.parent).as_posix() for place in places)
            expected = ", ".join(part.csv for part in PARTS)
            raise CorpusError(
                f"{root}: no {part.csv} (looked in {looked}); expected {expected}: MELD's annotation files, "
                "at the top of MELD.Raw or inside its split folders"
            )
        files[part] = found
    return files


def _clip_folder(root: Path, part: Part) -> str:
    """Where a split's clips lie, relative to ``root``. Archives unpack to one more level of folders."""
    nested = f"{part.archive}/{part.clips}"
    return nested if not (root / part.clips).is_dir() and (root / nested).is_dir() else part.clips


def _read(file: Path, skipped: list[Skipped], column: str, labels: tuple[str, ...]) -> list[Row]:
    """The usable rows of one CSV with its ``column`` of labels. The others go to ``skipped``, each with its line."""
    columns = (*COLUMNS, column)
    records = _records(read(file))
    _, header = next(records, (0, []))
    place = {name.strip(): index for index, name in enumerate(header)}
    missing = [name for name in columns if name not in place]
    if missing:
        found = ", ".join(place)[:200] or "an empty file"
        raise CorpusError(f"{file}: no column {', '.join(missing)}; expected {', '.join(columns)}, found {found}")
    rows: dict[tuple[int, int], Row] = {}
    for line, record in records:

        def skip(status: str, reason: str, line: int = line) -> None:
            skipped.append(Skipped(f"{file.name}:{line}", status, reason))

        if len(record) != len(header):
            found = f"{len(record)}" if record else "a quote that does not close"
            skip("broken_row", f"expected {len(header)} fields, found {found}")
            continue
        text, speaker, dialogue, number, label = (plain(record[place[name]]) for name in columns)
        if not (_is_number(dialogue) and _is_number(number)):
            skip("broken_row", f"expected numbers, found Dialogue_ID {dialogue!r} and Utterance_ID {number!r}")
        elif label.lower() not in labels:
            skip("unknown_label", f"expected one of {', '.join(labels)}, found {label!r}")
        elif (key := (int(dialogue), int(number))) in rows:
            skip("duplicate", f"dialogue {dialogue}, utterance {number} stands further up; the first one counts")
        else:
            rows[key] = Row(*key, speaker, text, label.lower())
    return list(rows.values())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV, each with the line that it starts on. Blank lines are skipped.

    A cell may contain line ends. A stray quote costs only its line, not the rest of the file. If a record does not
    close, or spans several lines and does not have the header's number of fields, or each of its lines is a row by
    itself, its first line counts as one record without fields.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header: list[str] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        record, span = _record(lines, at)
        if span > 1 and header and (len(record) != len(header) or _are_rows(lines[at : at + span], header)):
            record, span = [], 1
        header = header or record
        yield at + 1, record
        at += span


def _are_rows(lines: Sequence[str], header: Sequence[str]) -> bool:
    """Whether each line, cut at its commas alone, is a row: someone says ``"...`` in one, ``..."`` in a later one."""
    numbers = [place for place, name in enumerate(header) if name.strip() in NUMBERS]
    rows = [line.split(",") for line in lines if line.strip()]
    return all(len(row) == len(header) and all(_is_number(plain(row[place])) for place in numbers) for row in rows)


def _record(lines: list[str], at: int) -> tuple[list[str], int]:
    """The record that starts on line ``at``, and the number of lines that it spans. No fields if it never closes."""
    for span in range(1, LONGEST_RECORD + 1):
        try:
            return next(csv.reader(["\n".join(lines[at : at + span])], strict=True)), span
        except csv.Error:
            continue
    return [], 1
