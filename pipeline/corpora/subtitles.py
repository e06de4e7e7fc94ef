"""Recordings with their transcripts -> a manifest: one dialogue a recording, one utterance a cue.

A recording is a video or a sound file. Its transcript is the file of the same name beside it, or is named. Those that
are named are paired with the recordings by name, or in the recordings' order if the names do not tell. Utterances are
spans of the one file, numbered in the order of their beginning: ``talk/0``, ``talk/1``. Labels come from tiers
``emotion@NAME`` (ELAN, Praat) or a column ``label``, so what annotators corrected can be trained on. Whole recordings
are dealt to train, valid and test by the hash of their names.
"""

from __future__ import annotations

import math
import os.path
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, assemble, silent
from bigfusion.pipeline.corpora.deal import deal
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.media.endings import CONVERT, SOUND, UNREAD, VIDEO
from bigfusion.pipeline.media.facts import MediaFacts, media_facts, seconds_of_packets
from bigfusion.pipeline.schema import Skipped
from bigfusion.pipeline.settings import Settings
from bigfusion.pipeline.tables.classes import composed, settle
from bigfusion.pipeline.transcripts import rttm
from bigfusion.pipeline.transcripts.cue import Cue
from bigfusion.pipeline.transcripts.read import SUFFIXES, Transcript, all_beside, beside, read_transcript
from bigfusion.pipeline.words import numbered

USUAL = frozenset(
    (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wav", ".mp3", ".m4a", ".flac", ".ogg")
)
"""The endings of a folder's recordings. The first one of another ending counts if none of these has its name: more
would be the same again. A file that is named may have any.
"""

LINGERING = 0.5
"""Seconds that a cue may end after its recording without a note, and packets after the length in a header that does
not count their padding.
"""

NOBODY = "speaker"
"""The speaker of cues that name none."""


class SubtitleSettings(Settings):
    """``kind = "subtitles"``: recordings and their transcripts."""

    kind: Literal["subtitles"]
    media: tuple[Path, ...] = Field(min_length=1, description="videos and sound files, or folders of them")
    transcripts: tuple[Path, ...] = Field(
        default=(), description="one a recording: by their names, else in its order; none: those of its name beside it"
    )
    speakers: tuple[Path, ...] = Field(
        default=(), description="RTTM of who speaks when: one a recording, or one for all; none: as transcripts say"
    )
    encoding: str = Field(default="", description='of the transcripts, e.g. "cp1251"; "": as the file shows')
    whole: bool = Field(default=False, description="a file without a transcript is one utterance without words")
    labels: tuple[str, ...] = Field(default=(), description="the classes in order; none: those found, sorted")
    label_map: dict[str, str] = Field(default={}, description='renames or merges labels; "" makes one no label')
    name: str = Field(default="subtitles", description="the corpus's name")


_Owned = tuple[Path | None, str]
"""A file, and the name of the recording that it belongs to; ``""``: its name does not tell."""


@dataclass(frozen=True)
class Recording:
    """One recording: its file, its name as a dialogue, and what its transcript and header say."""

    path: Path
    name: str
    facts: MediaFacts
    cues: tuple[Cue, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def scan(settings: SubtitleSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of recordings with transcripts.

    Raises:
        CorpusError: a file is missing or no recording, a transcript is missing or of another recording, or its labels
            may mean two things.
    """
    found = recordings(settings)
    root = Path(os.path.commonpath([recording.path.parent for recording in found]))
    label, notes = _labels(settings, [cue.label for recording in found for cue in recording.cues])
    columns = _columns(found, root)
    labels = tuple(map(composed, settings.labels)) or tuple(sorted({*label} - {""}))
    return assemble(
        settings.name,
        root,
        labels,
        columns | {"label": label},
        [*(item for recording in found for item in recording.skipped), *_unread(settings)],
        digests=digests,
        progress=progress,
        notes=(*(note for recording in found for note in recording.notes), *notes),
    )


def recordings(settings: SubtitleSettings) -> list[Recording]:
    """The recordings of the settings, each with its cues.

    Raises:
        CorpusError: as in :func:`scan`.
    """
    paths = media_files(settings)
    if settings.transcripts and len(settings.transcripts) != len(paths):
        raise CorpusError(
            f"expected one transcript a recording, found {len(settings.transcripts)} for {len(paths)};"
            " name them in the recordings' order, or put each beside its recording under the same name"
        )
    if len(settings.speakers) > 1 and len(settings.speakers) != len(paths):
        raise CorpusError(
            f"expected one RTTM file a recording, or one for all, found {len(settings.speakers)} for {len(paths)};"
            " name them in the recordings' order"
        )
    names = _names(paths)
    given = _transcripts(settings, paths, names)
    turns: Sequence[_Owned] = _paired(settings.speakers, names) or [(None, "")]
    turns = turns if len(turns) == len(paths) else [*turns] * len(paths)
    found = [
        _recording(path, name, transcript, speakers, settings, names)
        for path, name, transcript, speakers in zip(paths, names, given, turns, strict=True)
    ]
    passed_over = {} if settings.transcripts else _passed_over(paths)
    return [replace(one, notes=(*one.notes, *passed_over.get(one.path, ()))) for one in found]


def _passed_over(paths: Sequence[Path]) -> dict[Path, tuple[str]]:
    """A note on the transcripts beside a recording that are not read. Recordings with the same endings share one."""
    alike: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        alike.setdefault(tuple(file.name.removeprefix(path.stem) for file in all_beside(path)), []).append(path)
    notes = {}
    for (taken, *others), (path, *more) in ((endings, like) for endings, like in alike.items() if len(endings) > 1):
        names = ", ".join(path.stem + other for other in others)
        notes[path] = (
            f"{path.name}{f' (and {len(more)} like it)' if more else ''}: {path.stem}{taken} is taken as its"
            f" transcript, {names} not; name another with --subtitles (corpus.transcripts)",
        )
    return notes


def transcripts_of(settings: SubtitleSettings, paths: Sequence[Path]) -> list[Path | None]:
    """The transcript of each recording: one of the settings, or else the one beside it; ``None``: there is none."""
    return [file for file, _ in _transcripts(settings, paths, _names(paths))]


def _transcripts(settings: SubtitleSettings, paths: Sequence[Path], names: Sequence[str]) -> list[_Owned]:
    near = ((beside(path), name) for path, name in zip(paths, names, strict=True))
    return _paired(settings.transcripts, names) or [*near]


def _paired(files: Sequence[Path], names: Sequence[str]) -> list[_Owned]:
    """``files`` in the recordings' order, if their names tell whose each is. Otherwise they are in that order already.

    Beside each stands the recording that its name tells.
    """
    known = [_absolute(file) for file in files]
    owned: list[_Owned] = [(file, _owner(own, names)) for file, own in zip(known, _names(known), strict=True)]
    place = {owner: file for file, owner in owned if owner}
    return [(place[name], name) for name in names] if len(place) == len(names) == len(files) else owned


def _owner(file: str, names: Sequence[str]) -> str:
    """Which recording a name tells: ``talk`` and ``talk_english`` tell ``talk``, ``talk2`` does not; ``""``: none."""
    told = [name for name in names if file.startswith(name) and not file[len(name) : len(name) + 1].isalnum()]
    return max(told, key=len, default="")


def _recording(
    path: Path, name: str, given: _Owned, turns: _Owned, settings: SubtitleSettings, names: Sequence[str]
) -> Recording:
    facts = media_facts(path)
    transcript, owner = given
    if transcript is None:
        if not settings.whole:
            raise CorpusError(
                f"{path}: expected a transcript beside it ({path.stem}{SUFFIXES[0]}, {', '.join(SUFFIXES[1:])}), found"
                " none; name one with --subtitles (corpus.transcripts)"
            )
        return Recording(path, name, facts, (Cue(math.nan, math.nan, "", NOBODY),))
    known = read_transcript(transcript, settings.encoding, path)
    cues, notes = list(known.cues), [*known.notes]
    unwritten = len(names) > 1 and any(_absolute(media).is_dir() for media in settings.media)
    if owner != name and (owner or unwritten):
        notes.append(
            f"{path.name}: {transcript.name} is taken as its transcript because of their order alone; check that they"
            " belong together, and give both the same name"
        )
    if turns[0] is not None:
        cues = rttm.with_speakers(cues, rttm.read(turns[0], path.stem, shared=len(settings.speakers) < len(names)))
        notes += _others_turns(path, name, turns[0], turns[1], names)
    if len(cues) > 1 and not any(cue.speaker for cue in cues):
        notes.append(
            f"{transcript.name}: no cue names a speaker, so all count as one person's; --speakers-file (RTTM), <v NAME>"
            " or `NAME: ` in front name them"
        )
    return _within(path, name, facts, transcript, Transcript(tuple(cues), tuple(notes)))


def _others_turns(path: Path, name: str, turns: Path, owner: str, names: Sequence[str]) -> list[str]:
    """A note if neither the RTTM file's lines nor its name tell that its turns are this recording's."""
    held = rttm.recordings(turns)
    if path.stem in held or (_owner(composed(held[0]), names) or owner) == name:
        return []
    return [
        f"{turns.name}: its turns are those of {held[0]}, and are taken as those of {path.name}; check that they belong"
        " together"
    ]


def _within(path: Path, name: str, facts: MediaFacts, transcript: Path, known: Transcript) -> Recording:
    """The recording without the cues that begin after its end. Those that end after it are cut.

    Raises:
        CorpusError: most of them begin after it.
    """
    said = facts.seconds
    if said and any(cue.end > said for cue in known.cues):
        counted = seconds_of_packets(path)
        facts = replace(facts, seconds=counted if counted > said + LINGERING else said)
    inside = [cue for cue in known.cues if not facts.seconds or cue.start < facts.seconds]
    beyond = len(known.cues) - len(inside)
    skipped = []
    if beyond:
        last = known.cues[-1].start
        of = f"{beyond} of {numbered(len(known.cues), 'cue')} {'begins' if beyond == 1 else 'begin'}"
        found = f"{of} after the end of {path.name} ({facts.seconds:.1f} s)"
        if 2 * beyond > len(known.cues):
            raise CorpusError(
                f"{transcript}: {found}, the last at {last:.1f} s; expected the transcript of this recording: check"
                " that they belong together"
            )
        skipped = [Skipped(f"{name} at {last:g} s", "beyond_the_end", f"{transcript.name}: {found}; left out")]
    notes = [*known.notes, *(item.reason for item in skipped)]
    if said and any(cue.start >= said for cue in inside):
        notes.append(
            f"{path.name}: its header says {said:.1f} s, and it lasts {facts.seconds:.1f} s; what begins beyond the"
            f" header's length is not decoded: replace the file (ffmpeg -i {path.name} -c copy {path.stem}.mka)"
        )
    cut = sum(cue.end > facts.seconds + LINGERING for cue in inside if facts.seconds)
    if cut:
        notes.append(
            f"{transcript.name}: {numbered(cut, 'cue ends/cues end')} after the end of {path.name}"
            f" ({facts.seconds:.1f} s), cut there"
        )
    ended = [replace(cue, end=min(cue.end, facts.seconds or cue.end), speaker=cue.speaker or NOBODY) for cue in inside]
    return Recording(path, name, facts, tuple(ended), tuple(notes), tuple(skipped))


def media_files(settings: SubtitleSettings, all_of_folders: bool = False) -> list[Path]:
    """The recordings: files as they are named, and folders' files that have a transcript beside them, or all of them.

    Raises:
        CorpusError: a folder holds none, or a recording is named twice.
    """
    every = all_of_folders or settings.whole or bool(settings.transcripts)
    found: list[Path] = []
    for path in map(_absolute, settings.media):
        if not path.is_dir():
            found.append(path)
            continue
        inside = _of_folder(path, (*SOUND, *VIDEO))
        there = [file for file in inside if every or beside(file)]
        if not there:
            raise CorpusError(
                f"{path}: expected recordings with transcripts beside them, found {len(inside)} recordings without;"
                " put talk.srt beside talk.mp4"
            )
        found += there
    again = next((path for path, count in Counter(found).items() if count > 1), None)
    if again is not None:
        raise CorpusError(f"{again}: expected each recording once, found it twice; name it once")
    return found


def _of_folder(folder: Path, endings: Sequence[str]) -> list[Path]:
    """The files of these endings, sorted, without those that are a usual file's recording again."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in endings and file.is_file()]
    first: dict[Path, Path] = {}
    for file in sorted(files, key=_rank):
        first.setdefault(file.with_suffix(""), file)
    return [file for file in files if file.suffix.lower() in USUAL or file == first[file.with_suffix("")]]


def _rank(file: Path) -> tuple[bool, ...]:
    """Usual files first, then those that are read here, then those with transcripts beside them."""
    suffix = file.suffix.lower()
    return (False,) if suffix in USUAL else (True, suffix in UNREAD, beside(file) is None)


def _unread(settings: SubtitleSettings) -> list[Skipped]:
    """Folders' recordings with transcripts beside them that are not read here, unless one of their name is."""
    folders = [path for path in map(_absolute, settings.media) if path.is_dir()]
    files = [file for folder in folders for file in _of_folder(folder, (*SOUND, *VIDEO, *UNREAD))]
    return [
        Skipped(file.name, "unread_media", f"{file.suffix} is not read here: {CONVERT}")
        for file in files
        if file.suffix.lower() in UNREAD and (beside(file) or settings.whole)
    ]


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each recording: its file's, with as many folders in front as tell it from the others.

    A second file of one name gives all of them longer names, and with the names other splits. That stays as it is,
    because any other rule would change the splits of projects that have such files; ingest says whose split changed.
    """
    plain = [composed(path.stem) for path in paths]
    if len(set(plain)) == len(plain):
        return plain
    root = Path(os.path.commonpath([path.parent for path in paths]))
    longer = [composed(path.relative_to(root).with_suffix("").as_posix()) for path in paths]
    if len(set(longer)) == len(longer):
        return longer
    return [composed(path.relative_to(root).as_posix()) for path in paths]


def _labels(settings: SubtitleSettings, cells: list[str]) -> tuple[list[str], tuple[str, ...]]:
    if not any(cells):
        return cells, ()
    settled = settle(cells, settings.labels, settings.label_map)
    other = sorted({*settled.labels} - {"", *map(composed, settings.labels)}) if settings.labels else []
    if other:
        raise CorpusError(
            f"{settings.name}: expected labels among {', '.join(settings.labels)} (corpus.labels), found"
            f" {', '.join(other)[:200]}; correct the transcript, or rename them with corpus.label_map"
        )
    return settled.labels, settled.notes


def _columns(found: Sequence[Recording], root: Path) -> dict[str, list[Any]]:
    rows = [(recording, turn, cue) for recording in found for turn, cue in enumerate(recording.cues)]
    splits = deal(recording.name for recording in found)
    paths = {recording.name: recording.path.relative_to(root).as_posix() for recording in found}
    starts, ends = [cue.start for _, _, cue in rows], [cue.end for _, _, cue in rows]
    return {
        "utterance": [f"{recording.name}/{turn}" for recording, turn, _ in rows],
        "split": [splits[recording.name] for recording, _, _ in rows],
        "dialogue": [recording.name for recording, _, _ in rows],
        "turn": [turn for _, turn, _ in rows],
        "speaker": [composed(cue.speaker) for _, _, cue in rows],
        "text": [composed(cue.text) for _, _, cue in rows],
        "audio_path": [paths[r.name] if r.facts.has_sound else "" for r, _, _ in rows],
        "audio_start": starts,
        "audio_end": ends,
        "visual_path": [paths[r.name] if r.facts.has_picture else "" for r, _, _ in rows],
        "visual_start": starts,
        "visual_end": ends,
    }
