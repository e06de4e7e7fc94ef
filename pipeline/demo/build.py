"""The demo corpus on disk, in the layout of MELD.Raw: three tables and three folders of clips, made within seconds.

``demo.json`` marks the folder as the demo's. It lists the files that the demo wrote, and the recipe (code, words and
size). An interrupted build is continued. A complete build of the current recipe is left alone. Files of another recipe
are replaced, unless somebody has changed one of them.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.demo.clip import encoded
from bigfusion.pipeline.demo.portrait import CUP, FPS, Look, film
from bigfusion.pipeline.demo.script import CAST, EXPECTED, PLAY, Line, lines
from bigfusion.pipeline.demo.speech import Samples, speak
from bigfusion.pipeline.demo.stamp import STAMP
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.files import file_sha256
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Split, Status
from bigfusion.pipeline.words import reason

TABLES = {Split.TRAIN: "train_sent_emo.csv", Split.VALID: "dev_sent_emo.csv", Split.TEST: "test_sent_emo.csv"}
FOLDERS = {
    Split.TRAIN: "train_splits",
    Split.VALID: "dev_splits_complete",
    Split.TEST: "output_repeated_splits_test",
}
OURS = re.compile(rf"({'|'.join(TABLES.values())})|({'|'.join(FOLDERS.values())})/dia\d+_utt\d+\.mp4", re.ASCII)

COLUMNS = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment"),
    *("Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
SENTIMENTS = {"neutral": "neutral", "joy": "positive", "surprise": "positive"}  # every other emotion is negative

SOUND_FORMATS = ((48_000, "mono"), (44_100, "stereo"), (48_000, "mono"), (48_000, "5.1"), (44_100, "mono"))
"""Sample rate and layout of a dialogue's clips, in turn: a corpus is never all of one kind."""


@dataclass(frozen=True)
class Built:
    """A complete demo corpus. ``made`` counts the files written this time (0: the corpus was there already).
    ``expected`` is what ``EXPECTED`` says about its utterances.
    """

    folder: Path
    utterances: int
    made: int
    expected: Mapping[str, Status]


@dataclass(frozen=True)
class Stamp:
    """The content of ``demo.json``: the recipe, and each file's SHA-256 (``None`` while the build is running)."""

    recipe: str
    files: Mapping[str, str | None]


def build(
    folder: Path, progress: Callable[[int, int], None] = lambda done, total: None, dialogues: int | None = None
) -> Built:
    """Make the demo corpus in ``folder``, or the parts of it that are missing.

    Args:
        folder: new, empty, or one that an earlier build made.
        progress: called as ``progress(done, total)`` after each clip.
        dialogues: only the first so many of each split (2 hold every entry of ``EXPECTED``); all by default.

    Raises:
        CorpusError: the folder cannot be written, or holds something else, or a file of the demo that was changed by
            hand and would have to be replaced; or a package of the extra ``demo`` is missing.
    """
    play = lines(dialogues)
    recipe = digest({"code": code_digests(f"{__name__}:build"), "play": file_sha256(PLAY), "dialogues": dialogues})
    try:
        made = _complete(folder, play, _own(folder, recipe), progress)
    except OSError as error:
        raise CorpusError(
            f"{folder}: cannot write the demo corpus there ({reason(error)}); name a folder that can"
        ) from None
    return Built(folder, len(play), made, {line.id: EXPECTED[line.id] for line in play if line.id in EXPECTED})


def _complete(folder: Path, play: Sequence[Line], stamp: Stamp, progress: Callable[[int, int], None]) -> int:
    """Write the play's missing files. Returns how many they were."""
    clips = {clip_name(line): line for line in play if EXPECTED.get(line.id) != Status.MISSING_MEDIA}
    files = {name: stamp.files.get(name) for name in (*clips, *TABLES.values())}
    missing = [name for name in files if not (folder / name).is_file()]
    if not missing and None not in files.values():
        return 0
    files |= dict.fromkeys(missing)
    _write_stamp(folder, Stamp(stamp.recipe, files))
    speech = {line.id: speak(line.words, CAST[line.speaker].voice, line.emotion) for line in play}
    _make_clips(folder, {name: clips[name] for name in missing if name in clips}, speech, progress)
    for split, name in TABLES.items():
        if name in missing:
            write_whole(folder / name, _table([line for line in play if line.split is split], speech))
    _write_stamp(folder, Stamp(stamp.recipe, {n: known or file_sha256(folder / n) for n, known in files.items()}))
    return len(missing)


def clip_name(line: Line) -> str:
    """Where a line's clip lies in the corpus: ``train_splits/dia0_utt0.mp4``."""
    return f"{FOLDERS[line.split]}/dia{line.dialogue}_utt{line.utterance}.mp4"


def _make_clips(
    folder: Path,
    clips: Mapping[str, Line],
    speech: Mapping[str, tuple[Samples, int]],
    progress: Callable[[int, int], None],
) -> None:
    """Film and write the clips, with one thread for each processor: the encoders release Python's lock."""
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
    try:
        jobs = [pool.submit(_make_clip, folder / name, line, speech[line.id]) for name, line in clips.items()]
        for done, job in enumerate(as_completed(jobs), start=1):
            job.result()
            progress(done, len(jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def _make_clip(path: Path, line: Line, speech: tuple[Samples, int]) -> None:
    """Make one clip, with the fault that ``EXPECTED`` gives it."""
    samples, rate = speech
    status = EXPECTED.get(line.id)
    look = Look(CUP) if status is Status.NO_FACE else CAST[line.speaker].look
    motion = int.from_bytes(sha256(clip_name(line).encode()).digest()[:8], "big")
    frames = list(film(look, len(samples) / rate, motion))
    sound = None if status is Status.NO_AUDIO else (samples * np.float32(status is not Status.SILENT), rate)
    content = encoded(frames, FPS, sound, *SOUND_FORMATS[line.dialogue % len(SOUND_FORMATS)])
    write_whole(path, content[: len(content) // 2] if status is Status.CORRUPT_MEDIA else content)


def _table(play: Iterable[Line], speech: Mapping[str, tuple[Samples, int]]) -> bytes:
    """One split's annotations as MELD writes them; every dialogue is an episode that starts after its first minute."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    end = 0.0
    for number, line in enumerate(play, start=1):
        samples, rate = speech[line.id]
        start = end if line.utterance else 60.0
        end = start + len(samples) / rate
        sentiment = SENTIMENTS.get(line.emotion, "negative")
        place = (line.dialogue, line.utterance, 1, line.dialogue + 1)
        writer.writerow((number, line.words, line.speaker, line.emotion, sentiment, *place, _clock(start), _clock(end)))
    return text.getvalue().encode()


def _clock(seconds: float) -> str:
    """Seconds as MELD's ``00:16:16,059``."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02},{milliseconds % 1000:03}"


def _own(folder: Path, recipe: str) -> Stamp:
    """The folder's stamp if it has this ``recipe``.

    Otherwise remove the other recipe's files and return a new stamp.

    Raises:
        CorpusError: the folder is not the demo's, or holds a file of the demo that was changed by hand.
    """
    stamp = _read_stamp(folder)
    if stamp is None or stamp.recipe == recipe:
        return stamp or Stamp(recipe, {})
    ours = {folder / name: written for name, written in stamp.files.items() if (folder / name).is_file()}
    for path, written in ours.items():
        if written is not None and file_sha256(path) != written:
            raise CorpusError(
                f"{path}: expected the file that an earlier demo wrote, found a changed one, which the new demo would "
                "replace; move it away, or make the demo in another folder"
            )
    for path in ours:
        path.unlink()
    return Stamp(recipe, {})


def _read_stamp(folder: Path) -> Stamp | None:
    """The content of ``demo.json``; ``None`` for a folder that is new or empty.

    Raises:
        CorpusError: the folder holds other things, or a stamp that no build wrote.
    """
    path = folder / STAMP
    remedy = "name a new or empty folder for the demo corpus"
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        others = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        others = [name for name in others if not name.startswith(f".{STAMP}.")]  # left by a killed build
        if others:
            raise CorpusError(
                f"{folder}: expected a demo corpus or an empty folder, found {min(others)} without {STAMP}; {remedy}"
            ) from None
        return None
    except (NotADirectoryError, ValueError) as error:
        raise CorpusError(f"{path}: expected a demo corpus's stamp, found {error}; {remedy}") from None
    match content:
        case {"recipe": str(recipe), "files": dict(files)} if all(OURS.fullmatch(name) for name in files):
            return Stamp(recipe, files)
    raise CorpusError(f"{path}: expected a demo corpus's stamp, found something else; {remedy}")


def _write_stamp(folder: Path, stamp: Stamp) -> None:
    write_whole(folder / STAMP, (json.dumps(vars(stamp), indent=1, sort_keys=True) + "\n").encode())
