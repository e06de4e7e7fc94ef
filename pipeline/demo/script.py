"""Who says what in the demo corpus, with which emotion, and the deliberate faults of five of its clips.

The words are in ``script.txt``, written for this project: 24 dialogues, each emotion in each split. Neutral is the most
frequent, as in MELD.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bigfusion.pipeline.demo.portrait import COLLINS, HOPPER, Look
from bigfusion.pipeline.schema import Split, Status

PLAY = Path(__file__).with_name("script.txt")


@dataclass(frozen=True)
class Line:
    """One utterance of the play. As in MELD, a dialogue's number counts from 0 in every split."""

    split: Split
    dialogue: int
    utterance: int
    speaker: str
    emotion: str
    words: str

    @property
    def id(self) -> str:
        """The utterance's id in a manifest: ``train/dia0_utt3``."""
        return f"{self.split}/dia{self.dialogue}_utt{self.utterance}"


@dataclass(frozen=True)
class Character:
    """How a speaker sounds and looks, the same in every dialogue."""

    voice: str
    look: Look


CAST = {
    "Clara": Character("en-gb-x-rp+f3", Look(COLLINS, tint=(1.00, 0.98, 0.92), backdrop=(96, 124, 108))),
    "Emil": Character("en-us+m5", Look(HOPPER, tint=(0.90, 0.97, 1.00), backdrop=(52, 60, 84), flip=True)),
    "Ines": Character("en-us+f2", Look(COLLINS, tint=(1.00, 0.90, 0.82), backdrop=(150, 112, 88), flip=True)),
    "Jonas": Character("en-us+m2", Look(HOPPER, tint=(1.00, 0.94, 0.86), backdrop=(120, 100, 72))),
    "Leo": Character("en-us+m4", Look(COLLINS, tint=(0.86, 0.92, 1.00), backdrop=(70, 88, 128), zoom=0.86)),
    "Nora": Character("en-us+f1", Look(COLLINS, tint=(0.98, 0.98, 0.98), backdrop=(168, 168, 176), zoom=1.12)),
    "Priya": Character("en-us+f4", Look(HOPPER, tint=(1.00, 0.88, 0.78), backdrop=(140, 72, 60), zoom=1.12)),
    "Ravi": Character("en-gb-x-rp+m3", Look(HOPPER, tint=(0.82, 0.78, 0.72), backdrop=(64, 92, 72), flip=True)),
    "Ruth": Character("en-gb-scotland+f5", Look(HOPPER, tint=(1.00, 1.00, 1.00), backdrop=(112, 132, 160))),
    "Sam": Character("en-us+m6", Look(COLLINS, tint=(0.84, 0.80, 0.72), backdrop=(88, 72, 60), flip=True, zoom=1.12)),
    "Tom": Character("en-us+m1", Look(COLLINS, tint=(0.92, 1.00, 0.92), backdrop=(60, 96, 84), flip=True, zoom=0.86)),
    "Walt": Character("en-gb-scotland+m7", Look(HOPPER, tint=(0.94, 0.94, 0.90), backdrop=(96, 96, 96), zoom=0.86)),
}

EXPECTED = {
    "train/dia0_utt5": Status.MISSING_MEDIA,
    "train/dia1_utt1": Status.NO_FACE,
    "train/dia1_utt4": Status.CORRUPT_MEDIA,
    "valid/dia1_utt0": Status.SILENT,
    "test/dia1_utt4": Status.NO_AUDIO,
}
"""What extraction must say of the clips that are spoilt on purpose; every other clip is good.

``missing_media`` (no such file) and ``corrupt_media`` (its second half was never written) concern sound and picture,
``silent`` (digital silence) and ``no_audio`` (no such stream) the sound alone, ``no_face`` (a cup) the picture alone.
"""


def lines(dialogues: int | None = None) -> tuple[Line, ...]:
    """The play's lines in order; with ``dialogues``, only the first so many dialogues of each split."""
    return tuple(line for line in _play() if dialogues is None or line.dialogue < dialogues)


def _play() -> Iterator[Line]:
    split, dialogue, utterance = Split.TRAIN, -1, 0
    for row in PLAY.read_text(encoding="utf-8").splitlines():
        if row.startswith("## "):
            heading = Split(row.removeprefix("## ").partition(":")[0])
            dialogue = dialogue + 1 if heading is split else 0
            split, utterance = heading, 0
        elif row and not row.startswith("#"):
            speaker, emotion, words = row.split(maxsplit=2)
            yield Line(split, dialogue, utterance, speaker, emotion, words)
            utterance += 1
