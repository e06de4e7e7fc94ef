"""DailyDialog: 13,118 dialogues of two, text alone -> a manifest without media.

``train/dialogues_train.txt`` has a dialogue a line, its utterances ended by ``__eou__``;
``train/dialogues_emotion_train.txt`` has as many numbers on the same line: 0 no emotion, 1 anger, 2 disgust, 3 fear,
4 happiness, 5 sadness, 6 surprise. The same for ``validation`` and ``test``; archives unpack to one more level
(``train/train``). Names, layout and codes are those of the release's readme and of its parsers. The two speakers take
turns; the corpus names neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from bigfusion.pipeline.corpora.base import Progress, assemble, columns_of, corpus_folder, silent
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped, Split
from bigfusion.pipeline.tables.encoding import plain, read

PARTS = {Split.TRAIN: "train", Split.VALID: "validation", Split.TEST: "test"}
LABELS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
"""Codes 0-6; 0 is "no emotion"."""
END = "__eou__"


class DailyDialogSettings(MappedSettings):
    """``kind = "dailydialog"``: the folder with ``train``, ``validation`` and ``test``."""

    kind: Literal["dailydialog"]
    root: Path


def annotation_files(root: Path) -> dict[Split, tuple[Path, Path]]:
    """The text and the emotion file of each split.

    Raises:
        CorpusError: one is missing.
    """
    found = {}
    for split, part in PARTS.items():
        names = (f"dialogues_{part}.txt", f"dialogues_emotion_{part}.txt")
        places = (root / part, root / part / part, root)
        place = next((place for place in places if all((place / name).is_file() for name in names)), None)
        if place is None:
            raise CorpusError(f"{root}: expected {part}/{names[0]} and {part}/{names[1]}, found none of them together")
        found[split] = (place / names[0], place / names[1])
    return found


def scan(settings: DailyDialogSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of DailyDialog. A line whose two files disagree is listed as skipped.

    Raises:
        CorpusError: a file is missing, or the two files of a split differ in their number of lines.
    """
    root = corpus_folder(settings.root, "DailyDialog")
    skipped: list[Skipped] = []
    rows: list[dict[str, Any]] = []
    for split, (texts, emotions) in annotation_files(root).items():
        lines, codes = (_lines(path) for path in (texts, emotions))
        if len(lines) != len(codes):
            raise CorpusError(f"{emotions}: expected {len(lines)} lines as in {texts.name}, found {len(codes)}")
        for number, (line, coded) in enumerate(zip(lines, codes, strict=True)):
            turns = [plain(turn) for turn in line.split(END)]
            turns = turns[:-1] if turns and not turns[-1] else turns
            found = coded.split()
            if len(found) != len(turns) or not all(code in "0123456" and len(code) == 1 for code in found):
                reason = f"expected {len(turns)} codes from 0 to 6, found {coded.strip()!r}"
                skipped.append(Skipped(f"{texts.name}:{number + 1}", "broken_row", reason))
                continue
            dialogue = f"{split}/{number}"
            rows += [
                {
                    "utterance": f"{dialogue}/{turn}", "split": split.value, "dialogue": dialogue, "turn": turn,
                    "speaker": "AB"[turn % 2], "text": text, "label": LABELS[int(code)],
                }
                for turn, (text, code) in enumerate(zip(turns, found, strict=True))
            ]  # fmt: skip
    if not rows:
        raise CorpusError(f"{root}: expected dialogues with their emotions, found none")
    return assemble("dailydialog", root, LABELS, columns_of(rows), skipped, digests=digests, progress=progress)


def _lines(path: Path) -> list[str]:
    lines = read(path, mojibake=False).replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1].strip() else lines
