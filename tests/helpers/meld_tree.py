"""Small folders in MELD.Raw's layout."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.helpers.tiny_media import write_clip

HEADER = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
          "StartTime", "EndTime")  # fmt: skip
CSV = {"train": "train_sent_emo.csv", "valid": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
CLIPS = {"train": "train_splits", "valid": "dev_splits_complete", "test": "output_repeated_splits_test"}


class Line(NamedTuple):
    """One utterance of a CSV."""

    dialogue: int
    utterance: int
    text: str
    emotion: str = "neutral"
    speaker: str = "Monica"


SMALL: Mapping[str, tuple[Line, ...]] = {
    "train": (
        Line(0, 0, "So let’s talk", "neutral", "Ross"),
        Line(0, 1, "None", "joy"),
        Line(0, 4, "Oh no, no", "sadness", "Ross"),  # 2 and 3 do not exist
        Line(2, 0, "null", "disgust"),
    ),
    "valid": (Line(0, 0, "NA", "anger"), Line(0, 1, "Why?", "fear")),
    "test": (Line(0, 0, "nan", "surprise"),),
}


def csv_bytes(lines: Iterable[Line]) -> bytes:
    """A split's CSV as the corpus writes it: CRLF, quotes where needed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for number, line in enumerate(lines, 1):
        times = ("00:16:16,059", "00:16:21,731")
        row = (number, line.text, line.speaker, line.emotion, "neutral", line.dialogue, line.utterance, 8, 21, *times)
        writer.writerow(row)
    return text.getvalue().encode()


def write_meld(
    root: Path, corpus: Mapping[str, Iterable[Line]] = SMALL, nested: bool = False, media: bool = False
) -> Path:
    """``root`` as a MELD.Raw folder; ``nested``: CSVs and clips inside ``train/``, ``dev/``, ``test/``, as unpacked."""
    for split, lines in corpus.items():
        folder = root / {"train": "train", "valid": "dev", "test": "test"}[split] if nested else root
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CSV[split]).write_bytes(csv_bytes(lines))
        for line in lines if media else ():
            name = f"dia{line.dialogue}_utt{line.utterance}.mp4"
            write_clip(folder / CLIPS[split] / name, pitch=200 + 10 * line.dialogue + line.utterance)
    return root
