"""CMU-MOSEI, CMU-MOSI and CH-SIMS in MMSA's layout, ``label.csv`` and ``Raw/VIDEO/CLIP.mp4`` -> a manifest.

The columns are video_id, clip_id, text, label (a number: sentiment in [-3, 3]; CH-SIMS in [-1, 1]), label_T, label_A,
label_V (CH-SIMS alone), annotation (Negative, Neutral, Positive; old CH-SIMS copies lack it), mode (train, valid,
test). Columns and paths are those that MMSA-FET's ``dataset.py`` reads.

The field scores each clip alone, so a clip is a dialogue of one. ``context = "video"`` makes the clips of a video one
dialogue, in the order of their numbers; clips of other splits are left out of it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, assemble, corpus_folder, silent
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped
from bigfusion.pipeline.tables.encoding import plain
from bigfusion.pipeline.tables.numbers import TARGET, TASK, Target, Task
from bigfusion.pipeline.tables.splits import split_of
from bigfusion.pipeline.tables.tables import read_table

CLASSES = ("negative", "neutral", "positive")
COLUMNS = ("video_id", "clip_id", "text", "label", "mode")


class LabelCsvSettings(MappedSettings):
    """``kind = "mosei"``, ``"mosi"`` or ``"ch_sims"``: the folder with ``label.csv`` and ``Raw``.

    The classes are those of the column annotation, or else the sign of the number. Annotations are of the common label:
    with another ``target`` the sign of its number counts. With ``task = "regression"`` the number itself is predicted.
    """

    kind: Literal["mosei", "mosi", "ch_sims"]
    root: Path
    task: Task = Field(default="classes", description=TASK)
    target: Target = Field(default="label", description=TARGET)
    context: Literal["clip", "video"] = Field(default="clip", description="what one dialogue is")


def scan(settings: LabelCsvSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of such a folder, its media present or not. A row that cannot be used is listed as skipped.

    Raises:
        CorpusError: the folder or ``label.csv`` is missing, or lacks a column.
    """
    root = corpus_folder(settings.root, f"{settings.kind} with label.csv and Raw")
    path = root / "label.csv"
    table = read_table(path, [*COLUMNS, settings.target, "annotation"])
    missing = [name for name in (*COLUMNS, settings.target) if name not in table.columns]
    regression = settings.task == "regression"
    if missing:
        remedy = "" if missing[0] in COLUMNS else "; leave corpus.target out to read the column label"
        raise CorpusError(f"{path}: expected a column {missing[0]!r}, found {', '.join(table.header)[:200]}{remedy}")
    skipped: list[Skipped] = []
    rows: dict[str, dict[str, Any]] = {}
    cells = {name: [cell.strip() for cell in column] for name, column in table.columns.items()}
    common = settings.target == "label"
    annotations = cells["annotation"] if common and "annotation" in cells else [""] * len(table)
    for row in range(len(table)):
        video, clip, mode = (cells[name][row] for name in ("video_id", "clip_id", "mode"))
        name, split = f"{video}/{clip}", split_of(mode)
        value = _value(cells[settings.target][row]) if regression else math.nan
        label = _label(annotations[row], cells[settings.target][row])
        if regression:
            label = None if math.isnan(value) else ""
        where = f"label.csv: {table.where(row)}"
        if not video or not clip or not split:
            skipped.append(
                Skipped(where, "broken_row", f"expected video_id, clip_id and a mode, found {name} {mode!r}")
            )
        elif label is None:
            number = repr(cells[settings.target][row])
            expected, found = f"{', '.join(CLASSES)} or a number", f"{annotations[row]!r} and {number}"
            if regression or not common:
                expected, found = "a number", number
            skipped.append(Skipped(where, "unknown_label", f"expected {expected}, found {found}"))
        elif name in rows:
            skipped.append(Skipped(where, "duplicate", f"{name} stands further up; the first one counts"))
        else:
            media = f"Raw/{video}/{clip}.mp4"
            rows[name] = {
                "utterance": name, "split": split, "video": video, "clip": clip, "speaker": video,
                "text": plain(cells["text"][row]), "label": label, "value": value,
                "audio_path": media, "visual_path": media,
            }  # fmt: skip
    if not rows:
        raise CorpusError(f"{path}: expected a row with a video, a clip, a mode and a label, found none")
    columns = _columns([*rows.values()], settings.context)
    labels = () if regression else CLASSES
    return assemble(settings.kind, root, labels, columns, skipped, digests=digests, progress=progress)


def _label(annotation: str, number: str) -> str | None:
    """The class of a clip; ``None`` if there is none."""
    if annotation:
        return annotation.lower() if annotation.lower() in CLASSES else None
    value = _value(number)
    return None if math.isnan(value) else CLASSES[int(value >= 0) + int(value > 0)]


def _value(cell: str) -> float:
    """A cell's number; NaN if it holds none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _columns(rows: list[dict[str, Any]], context: str) -> dict[str, list[Any]]:
    """The manifest's columns; dialogues in the order of their first clips."""
    dialogues: dict[str, list[dict[str, Any]]] = {}
    if context == "clip":
        dialogues = {row["utterance"]: [row] for row in rows}
    else:
        splits: dict[str, set[str]] = {}
        for row in rows:
            splits.setdefault(row["video"], set()).add(row["split"])
        for row in rows:
            several = len(splits[row["video"]]) > 1
            dialogues.setdefault(row["video"] + (f"/{row['split']}" if several else ""), []).append(row)
        for name, clips in dialogues.items():
            dialogues[name] = sorted(clips, key=lambda row: (not row["clip"].isdecimal(), row["clip"].zfill(9)))
    laid = [
        {**row, "dialogue": name, "turn": turn} for name, clips in dialogues.items() for turn, row in enumerate(clips)
    ]
    return {name: [row[name] for row in laid] for name in laid[0] if name not in ("video", "clip")}
