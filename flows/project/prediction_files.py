"""A recording's predictions as files: a page, tables, subtitles, and annotations to be corrected in ELAN or Praat."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bigfusion.flows.project.prediction_frames import frame
from bigfusion.model.report.timeline import write_timeline
from bigfusion.model.scoring.timeline import Timeline
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.transcripts import elan, textgrid, vtt
from bigfusion.pipeline.transcripts.cue import Cue

PAGE = "timeline.html"
WRITTEN = ("start", "end", "speaker", "text", "label", "probabilities", "absent")
"""What ``predictions.json`` says of a moment."""
SUFFIXES = ("csv", "json", "parquet", "vtt", "TextGrid", "eaf")


def folders(timelines: Sequence[Timeline], out: Path | None) -> list[Path]:
    """A folder for each recording's files.

    Without ``out`` it lies beside the recording: ``talk-predictions`` for ``talk.mp4``. With it, it is ``out`` for one
    recording, and for several ``out/talk``. Recordings of one name get numbers.
    """
    if out is not None and len(timelines) == 1:
        return [out]
    wanted = [
        timeline.media.with_name(f"{timeline.media.stem}-predictions") if out is None else out / timeline.media.stem
        for timeline in timelines
    ]
    return [
        path if wanted.count(path) == 1 else path.with_name(f"{path.name}-{1 + wanted[:place].count(path)}")
        for place, path in enumerate(wanted)
    ]


def write(timeline: Timeline, folder: Path, embed: bool = False) -> dict[str, Path]:
    """Write every file of one recording. Returns their paths by name.

    Raises:
        SettingsError: the folder cannot be written.
    """
    table = frame([timeline]).drop(columns="recording")
    contents: dict[str, Callable[[], bytes]] = {
        "csv": lambda: table.to_csv(index=False, lineterminator="\n").encode(),
        "json": lambda: _json(timeline),
        "parquet": lambda: _parquet(table),
        "vtt": lambda: vtt.written(cues(timeline)).encode(),
        "TextGrid": lambda: textgrid.written(cues(timeline), timeline.seconds),
        "eaf": lambda: elan.written(cues(timeline), timeline.media),
    }
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in SUFFIXES:
            written[f"predictions.{suffix}"] = folder / f"predictions.{suffix}"
            write_whole(folder / f"predictions.{suffix}", contents[suffix]())
        written |= _page(timeline, folder / PAGE, embed)
    except OSError as error:
        raise SettingsError(
            f"{folder}: the predictions cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    return written


def _page(timeline: Timeline, path: Path, embed: bool) -> dict[str, Path]:
    write_timeline(timeline, path, embed)
    return {PAGE: path}


def cues(timeline: Timeline) -> list[Cue]:
    """The moments of a timeline as cues with labels."""
    return [Cue(moment.start, moment.end, moment.text, moment.speaker, moment.label) for moment in timeline.moments]


def _json(timeline: Timeline) -> bytes:
    moments = [{name: getattr(moment, name) for name in WRITTEN} for moment in timeline.moments]
    return (json.dumps(moments, indent=2, ensure_ascii=False) + "\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), buffer, write_page_checksum=True)
    return buffer.getvalue()
