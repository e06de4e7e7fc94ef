"""IEMOCAP_full_release: evaluations, transcriptions, wav and avi of five sessions -> a manifest.

Sessions 1-4 are ``train``, session 5 is ``test``. There is no ``valid``: training holds out its last dialogues. The
order is: sessions ascending, dialogues by name, turns as in the dialogue's transcription file. An utterance's audio is
its wav file. Its video is a stretch of the dialogue's avi, and in it the half of the frame that shows the speaker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, assemble, columns_of, corpus_folder, silent
from bigfusion.pipeline.corpora.iemocap_happy import BENCHMARK_HAPPY
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped, Split
from bigfusion.pipeline.tables.encoding import plain, read
from bigfusion.pipeline.tables.labels import IEMOCAP as LABELS

UNSCORED = ("xxx", "sur", "fea", "dis", "oth")
"""Labels that occur and that the six-way task leaves out. ``xxx`` means that the raters did not agree."""

FOUR = ("hap", "sad", "neu", "ang")
"""The four-way task; ``exc`` counts as ``hap`` there."""

SESSIONS = {1: Split.TRAIN, 2: Split.TRAIN, 3: Split.TRAIN, 4: Split.TRAIN, 5: Split.TEST}

_TURN = r"(?P<turn>(?P<dialogue>Ses\d\d[FM]_\w+)_(?P<speaker>[FM])\d+)"
_EVALUATION = re.compile(rf"\[\s*(?P<start>[\d.]+)\s*-\s*(?P<end>[\d.]+)\s*\]\s+{_TURN}\s+(?P<label>\w+)\s+\[.*\]")
_TRANSCRIPTION = re.compile(rf"{_TURN}\s*\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s*:(?P<text>.*)")


class IemocapSettings(MappedSettings):
    """``kind = "iemocap"``: the folder IEMOCAP_full_release, and which of three common versions of the labels to use.

    ``benchmark`` (7,433 turns; papers report on it) counts 53 turns on which the raters did not agree as happy.
    ``release`` (7,380 turns) does not. ``four`` (5,531 turns; hap, sad, neu, ang) counts the release's excited turns as
    happy and leaves its frustrated turns out. With ``folds = "session"`` each session is tested once.
    """

    kind: Literal["iemocap"]
    root: Path
    labels: Literal["benchmark", "release", "four"] = "benchmark"
    folds: Literal["", "session"] = Field(default="", description="leave one session out at a time")


@dataclass(frozen=True)
class Turn:
    """One turn as in its evaluation file; times in seconds from the dialogue's start."""

    id: str
    speaker: str
    start: float
    end: float
    label: str


def scan(settings: IemocapSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of an IEMOCAP_full_release folder, whether its media are present or not.

    Raises:
        CorpusError: the folder holds no session, or a session no evaluations. A line that cannot be used is no error:
            it is listed as skipped.
    """
    root = corpus_folder(settings.root, "IEMOCAP_full_release")
    sessions = session_folders(root)
    skipped = [
        Skipped(f"Session{number}", "missing_session", "no such folder")
        for number in SESSIONS
        if number not in sessions
    ]
    happy = BENCHMARK_HAPPY if settings.labels == "benchmark" else frozenset()
    rows = []
    for number, folder in sessions.items():
        for dialogue, evaluations, transcriptions in _dialogues(folder):
            turns = _read_turns(dialogue, evaluations, skipped)
            texts = _read_texts(dialogue, transcriptions, skipped)
            scored = _scored(_ordered(turns, texts, skipped), happy, settings.labels == "four", skipped)
            part = {"split": SESSIONS[number].value, "fold": ""}
            if settings.folds:
                part = {"split": Split.TRAIN.value, "fold": folder.name}
            for place, (turn, label) in enumerate(scored):
                row = {**part, "dialogue": dialogue, "turn": place, "label": label}
                rows.append({**row, "text": texts.get(turn.id, ""), **_media(folder.name, dialogue, turn)})
    if not rows:
        raise CorpusError(f"{root}: no turn with one of the labels {', '.join(LABELS)} in dialog/EmoEvaluation/*.txt")
    labels = FOUR if settings.labels == "four" else LABELS
    return assemble("iemocap", root, labels, columns_of(rows), skipped, digests=digests, progress=progress)


def session_folders(root: Path) -> dict[int, Path]:
    """The folders of the sessions that exist.

    Raises:
        CorpusError: there is none.
    """
    sessions = {number: root / f"Session{number}" for number in SESSIONS if (root / f"Session{number}").is_dir()}
    if not sessions:
        raise CorpusError(f"{root}: expected the folders Session1 to Session5 of IEMOCAP_full_release, found none")
    return sessions


def _media(session: str, dialogue: str, turn: Turn) -> dict[str, object]:
    """Where a turn is seen and heard. The actor named in the dialogue's id is in the left half of the frame."""
    return {
        "utterance": turn.id,
        "speaker": turn.speaker,
        "audio_path": f"{session}/sentences/wav/{dialogue}/{turn.id}.wav",
        "visual_path": f"{session}/dialog/avi/DivX/{dialogue}.avi",
        "visual_start": turn.start,
        "visual_end": turn.end,
        "crop": "left" if turn.speaker == dialogue[len("Ses00")] else "right",
    }


def _dialogues(session: Path) -> Iterator[tuple[str, Path | None, Path | None]]:
    """Every dialogue of a session, by name, with its evaluation file and its transcription file if they exist."""
    folders = session / "dialog" / "EmoEvaluation", session / "dialog" / "transcriptions"
    if not folders[0].is_dir():
        raise CorpusError(f"{folders[0]}: no such folder; expected one evaluation file for each dialogue in it")
    # "Ses*" leaves out macOS "._" files; only this level counts: sub-folders hold single raters' files.
    evaluations, transcriptions = ({path.stem: path for path in folder.glob("Ses*.txt")} for folder in folders)
    for dialogue in sorted(evaluations.keys() | transcriptions.keys()):
        yield dialogue, evaluations.get(dialogue), transcriptions.get(dialogue)


def _read_turns(dialogue: str, file: Path | None, skipped: list[Skipped]) -> dict[str, Turn]:
    """The turns of an evaluation file, by id. Single raters' lines and the header are skipped."""
    turns: dict[str, Turn] = {}
    for line, text in _lines(file):
        if not text.startswith("["):
            continue
        where = f"{file.name if file else dialogue}:{line}"
        match = _EVALUATION.fullmatch(text)
        times = _times(match) if match else None
        if match is None or times is None or match["dialogue"] != dialogue:
            skipped.append(
                Skipped(where, "broken_row", f"expected [start - end], a turn of {dialogue}, found {text!r}")
            )
        elif match["turn"] in turns:
            skipped.append(Skipped(where, "duplicate", f"{match['turn']} stands further up; the first one counts"))
        else:
            turns[match["turn"]] = Turn(match["turn"], match["speaker"], *times, match["label"].lower())
    return turns


def _times(match: re.Match[str]) -> tuple[float, float] | None:
    try:
        start, end = float(match["start"]), float(match["end"])
    except ValueError:
        return None
    return (start, end) if start < end else None


def _read_texts(dialogue: str, file: Path | None, skipped: list[Skipped]) -> dict[str, str]:
    """Transcripts by turn, in the file's order. Lines without time, asides and unnumbered turns are counted by kind."""
    texts: dict[str, str] = {}
    for line, text in _lines(file):
        where = f"{file.name if file else dialogue}:{line}"
        match = _TRANSCRIPTION.fullmatch(text)
        if match is None or match["dialogue"] != dialogue:
            skipped.append(Skipped(where, "aside", f"no numbered turn with its time: {text[:80]!r}"))
        elif match["turn"] in texts:
            skipped.append(Skipped(where, "duplicate", f"{match['turn']} stands further up; the first one counts"))
        else:
            texts[match["turn"]] = plain(match["text"])
    return texts


def _lines(file: Path | None) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers."""
    if file is not None:
        lines = re.split("\r\n|\n|\r", read(file, mojibake=False))
        yield from ((number, text) for number, line in enumerate(lines, 1) if (text := plain(line)))


def _ordered(turns: dict[str, Turn], texts: dict[str, str], skipped: list[Skipped]) -> list[Turn]:
    """The evaluated turns in the transcription's order, which differs from the order of their times.

    A turn without transcription comes after the last transcribed turn that starts before it.
    """
    skipped.extend(
        Skipped(name, "unannotated", "transcribed, but not in the evaluation file")
        for name in texts
        if name not in turns
    )
    ordered = [turns[name] for name in texts if name in turns]
    for turn in sorted((turn for turn in turns.values() if turn.id not in texts), key=lambda turn: turn.start):
        before = [place for place, other in enumerate(ordered) if other.start <= turn.start]
        place = max(before, key=lambda place: (ordered[place].start, place)) + 1 if before else 0
        ordered.insert(place, turn)
    return ordered


def _scored(
    turns: Iterable[Turn], happy: frozenset[str], four: bool, skipped: list[Skipped]
) -> Iterator[tuple[Turn, str]]:
    """The turns of the six-way or the four-way task, with their labels. The others are listed as skipped."""
    for turn in turns:
        label = "hap" if turn.label == "xxx" and turn.id in happy else turn.label
        label = "hap" if four and label == "exc" else label
        if label in (FOUR if four else LABELS):
            yield turn, label
        elif label in (*LABELS, *UNSCORED):
            number = "four" if four else "six"
            skipped.append(Skipped(turn.id, "unscored", f"label {label} is not one of the {number}"))
        else:
            expected = ", ".join((*LABELS, *UNSCORED))
            skipped.append(Skipped(turn.id, "unknown_label", f"expected one of {expected}, found {label!r}"))
