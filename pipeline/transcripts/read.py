"""A transcript file of any format -> its cues in order, cleaned, and what was decided about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.charset import read_text
from bigfusion.pipeline.transcripts import elan, srt, table, textgrid, vtt, whisper
from bigfusion.pipeline.transcripts.cue import UNANSWERED, Cue
from bigfusion.pipeline.transcripts.words import spoken, without_names
from bigfusion.pipeline.words import numbered

SUFFIXES = (".srt", ".vtt", ".json", ".TextGrid", ".eaf", ".csv", ".tsv")
"""The endings of transcripts, in the order in which they are looked for beside a media file."""


@dataclass(frozen=True)
class Transcript:
    """Cues in order of their beginning. ``notes`` say what was left out, and what else a person should know."""

    cues: tuple[Cue, ...]
    notes: tuple[str, ...] = ()


def beside(media: Path) -> Path | None:
    """The transcript that has a media file's name: ``talk.srt`` or ``talk.mp4.srt`` for ``talk.mp4``."""
    return next(all_beside(media), None)


def all_beside(media: Path) -> Iterator[Path]:
    """Every transcript that has a media file's name. The first is the one that is read."""
    names = (f"{stem}{suffix}" for suffix in SUFFIXES for stem in (media.stem, media.name))
    return (media.with_name(name) for name in names if media.with_name(name).is_file())


def read_transcript(path: Path, encoding: str = "", media: Path | None = None) -> Transcript:
    """The cues of a transcript of ``media``. Its format is that of its name's ending.

    Cues may overlap. Those without words, or that end before they begin, are left out and counted in the notes.

    Raises:
        CorpusError: the file is missing, of another format, in an unknown encoding, or has no cue with words.
    """
    if not path.is_file():
        raise CorpusError(f"{path}: expected a transcript, found no such file; check --subtitles")
    lost: list[str] = []
    read = [_tidy(cue) for cue in _read(path, encoding, media, lost)]
    cues = without_names(read)
    good = [cue for cue in cues if cue.text and _in_order(cue)]
    if not good:
        raise CorpusError(
            f"{path}: expected cues with words, found {len(cues)} cues and none with words and an end after its start;"
            " check the file"
        )
    notes = (*(f"{path.name}: {note}" for note in lost), *_notes(path, cues, good), *_names(path, read, cues))
    return Transcript(tuple(sorted(good, key=lambda cue: (cue.start, cue.end))), notes)


def _read(path: Path, encoding: str, media: Path | None, notes: list[str]) -> Sequence[Cue]:
    match path.suffix.lower():
        case ".srt":
            return srt.read(path, read_text(path, encoding))
        case ".vtt":
            return vtt.read(path, read_text(path, encoding))
        case ".json":
            return whisper.read(path, read_text(path, encoding))
        case ".textgrid":
            return textgrid.read(path, notes)
        case ".eaf":
            return elan.read(path, media, notes)
        case ".csv" | ".tsv" | ".parquet":
            return table.read(path, encoding)
        case other:
            raise CorpusError(
                f"{path}: expected a transcript whose name ends in one of {', '.join(SUFFIXES)}, found {other!r};"
                " save it as SubRip (.srt)"
            )


def _tidy(cue: Cue) -> Cue:
    label = " ".join(cue.label.split())
    return replace(
        cue,
        text=spoken(cue.text),
        speaker=" ".join(cue.speaker.split()),
        label="" if label.lower() in UNANSWERED else label,
    )


def _in_order(cue: Cue) -> bool:
    return math.isfinite(cue.start) and math.isfinite(cue.end) and 0 <= cue.start < cue.end


def _notes(path: Path, cues: Sequence[Cue], good: Sequence[Cue]) -> list[str]:
    notes = []
    silent = sum(not cue.text for cue in cues)
    reversed_ = [cue for cue in cues if cue.text and not _in_order(cue)]
    starts = [cue.start for cue in good]
    if silent:
        notes.append(
            f"{path.name}: {numbered(silent, 'cue is/cues are')} left out: without words (music, sounds, empty)"
        )
    if reversed_:
        first = reversed_[0]
        notes.append(
            f"{path.name}: {numbered(len(reversed_), 'cue is/cues are')} left out: the end is not after the start; the"
            f" first at {first.start:g} s: {first.text[:40]!r}"
        )
    if starts != sorted(starts):
        notes.append(f"{path.name}: the cues are not in order, and were sorted by their start")
    return notes


def _names(path: Path, read: Sequence[Cue], cues: Sequence[Cue]) -> list[str]:
    """A note on names that were taken out of the texts, unless a name or a speaker stands in front of every text."""
    taken = Counter(
        cue.speaker
        for before, cue in zip(read, cues, strict=True)
        if cue.speaker != before.speaker and not before.text.startswith("[")
    )
    if not taken or all(cue.speaker for cue in cues if cue.text):
        return []
    names = ", ".join(f"{name} ({number})" for name, number in taken.most_common())
    return [
        f"{path.name}: words before a colon count as speakers' names and not as text: {names[:200]}; if some are"
        " no names, write them without the colon"
    ]
