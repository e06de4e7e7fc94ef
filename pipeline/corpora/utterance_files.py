"""Single utterances in files whose names say what they are: speaker, emotion, sentence.

Each utterance is a dialogue with one turn. A file is matched by its path below the corpus's folder, without its ending.
The named groups of the pattern are what the name says. An audio file gives an utterance its sound, a video file its
picture, and its sound as well if no audio file has the same id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bigfusion.pipeline.corpora.base import Progress, assemble, silent
from bigfusion.pipeline.corpora.folds import DividedSettings, divide
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.media.endings import CONVERT, RARE_VIDEO, SOUND, UNREAD, VIDEO
from bigfusion.pipeline.schema import Skipped


@dataclass(frozen=True)
class Spoken:
    """One utterance: what its files' names say, and the paths of its sound and of its picture."""

    fields: dict[str, str]
    audio: str = ""
    visual: str = ""


@dataclass(frozen=True)
class Naming:
    """How a corpus names its files.

    ``pattern`` has to match a whole path. ``key`` makes an utterance's id from it. ``silent`` tells whether a video has
    no sound. ``example`` is what errors show. ``shared`` are the groups that mean the same in all files of an
    utterance, each with its values' meaning, if the id does not hold them.
    """

    pattern: re.Pattern[str]
    example: str
    key: Callable[[re.Match[str]], str] = field(default=lambda match: match[0])
    silent: Callable[[re.Match[str]], bool] = field(default=lambda match: False)
    shared: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


def spoken(root: Path, naming: Naming, skipped: list[Skipped]) -> dict[str, Spoken]:
    """The utterances below ``root`` by id, sorted. A media file of another name, or not read here, goes to ``skipped``.

    What one file's name leaves open, the name of another file of the utterance may say.

    Raises:
        CorpusError: there is no file with such a name, or files of one id say different things.
    """
    files: dict[str, list[_File]] = {}
    fields: dict[str, dict[str, str]] = {}
    strange = []
    media = media_files(root)
    read = {path[: -len(suffix)] for path, suffix in media}
    unread = [(path, suffix) for path, suffix in media_files(root, UNREAD) if path[: -len(suffix)] not in read]
    for path, suffix in media:
        match = naming.pattern.fullmatch(path[: -len(suffix)])
        if match is None:
            strange.append(path)
            continue
        key = naming.key(match)
        said = {name: value or "" for name, value in match.groupdict().items()}
        known = fields.setdefault(key, said)
        for name, meaning in naming.shared.items():
            one, other = meaning(known[name]), meaning(said[name])
            if one and other and one != other:
                remedy = "say which is meant by corpus.label_map" if name == "label" else "leave that group out"
                raise CorpusError(
                    f"{root}: expected one {name} for the id {key}, found {known[name]} ({files[key][0].path}) and"
                    f" {said[name]} ({path}); put the {name} into the group `id` of corpus.pattern, or {remedy}"
                )
        fields[key] = {name: value or said[name] for name, value in known.items()}
        files.setdefault(key, []).append(_File(path, suffix.lower(), naming.silent(match)))
    if not files:
        example = f"; {len(strange)} have other names, for instance {strange[0]}" if strange else ""
        example += f"; {len(unread)} are not read here: {CONVERT}, for instance {unread[0][0]}" if unread else ""
        raise CorpusError(f"{root}: expected audio or video files named like {naming.example}, found none{example}")
    skipped.extend(Skipped(path, "unread_media", f"{suffix} is not read here: {CONVERT}") for path, suffix in unread)
    skipped.extend(Skipped(path, "unknown_name", f"expected a name like {naming.example}") for path in strange)
    return {key: Spoken(fields[key], *_chosen(files[key], skipped)) for key in sorted(files)}


@dataclass(frozen=True)
class _File:
    path: str
    suffix: str
    is_silent: bool

    @property
    def is_video(self) -> bool:
        return self.suffix in VIDEO


def _chosen(files: Sequence[_File], skipped: list[Skipped]) -> tuple[str, str]:
    """The files of an utterance's sound and picture; ``""`` for none. Files that say the same again are skipped."""
    sounds = sorted((one for one in files if not one.is_video), key=lambda one: SOUND.index(one.suffix))
    pictures = sorted((one for one in files if one.is_video), key=lambda one: (one.is_silent, one.suffix in RARE_VIDEO))
    audio = [*sounds, *(one for one in pictures if not one.is_silent)]
    used = {one.path for one in (*audio[:1], *pictures[:1])}
    skipped.extend(
        Skipped(one.path, "duplicate", f"{', '.join(sorted(used))} has the same utterance; the first file counts")
        for one in files
        if one.path not in used and not (one.is_video and one.is_silent)
    )
    return audio[0].path if audio else "", pictures[0].path if pictures else ""


def media_files(root: Path, endings: Sequence[str] = (*SOUND, *VIDEO)) -> list[tuple[str, str]]:
    """The audio and video files below ``root``, sorted: POSIX path and ending. Hidden files are left out."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root)
        for name in names:
            suffix = Path(name).suffix
            if suffix.lower() in endings and not name.startswith("."):
                found.append(((below / name).as_posix(), suffix))
    return sorted(found)


def single_utterances(
    corpus: str,
    root: Path,
    labels: Sequence[str],
    utterances: Mapping[str, Spoken],
    described: Sequence[Mapping[str, str]],
    settings: DividedSettings,
    skipped: Sequence[Skipped],
    *,
    digests: FileDigests,
    progress: Progress = silent,
    notes: Sequence[str] = (),
) -> Manifest:
    """The manifest of single utterances. ``described`` has speaker, label and text of each; more can be divided by."""
    names = list(utterances)
    by = {name: [row.get(name, "") for row in described] for name in described[0]}
    columns: dict[str, Any] = {
        "utterance": names,
        **divide(str(root), names, {name: values for name, values in by.items() if name != "text"},
                 settings.split_by, settings.folds),
        "dialogue": names,
        "turn": [0] * len(names),
        "speaker": by["speaker"],
        "text": by["text"],
        "label": by["label"],
        "audio_path": [one.audio for one in utterances.values()],
        "visual_path": [one.visual for one in utterances.values()],
    }  # fmt: skip
    return assemble(corpus, root, labels, columns, skipped, digests=digests, progress=progress, notes=notes)
