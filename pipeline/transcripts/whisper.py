"""JSON as Whisper, WhisperX, faster-whisper's front ends and whisper.cpp write it, and as `bigfusion predict` does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bigfusion.pipeline.transcripts.cue import Cue, refuse

_EXPECTED = 'JSON with "segments" of start, end and text'


def read(path: Path, text: str) -> list[Cue]:
    """The segments in the file's order; WhisperX names their speakers.

    Raises:
        CorpusError: the file is not JSON, or has no segments with times.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        refuse(path, _EXPECTED, error)
    segments: Any
    if isinstance(content, Mapping) and "transcription" in content:
        segments = [_of_cpp(segment) for segment in content["transcription"]]
    else:
        segments = content.get("segments") if isinstance(content, Mapping) else content
    if not isinstance(segments, list):
        refuse(path, _EXPECTED, f"none of it at the top ({', '.join(content) if isinstance(content, dict) else text})")
    return [_cue(path, number, segment) for number, segment in enumerate(segments, start=1)]


def _cue(path: Path, number: int, segment: Any) -> Cue:
    try:
        start, end = float(segment["start"]), float(segment["end"])
        words = [segment.get(name) or "" for name in ("text", "speaker", "label")]
    except (KeyError, TypeError, ValueError, AttributeError):
        refuse(path, _EXPECTED, f"segment {number}: {segment}")
    return Cue(start, end, *map(str, words))


def _of_cpp(segment: Any) -> Any:
    """A segment of whisper.cpp, whose times are milliseconds."""
    try:
        times = segment["offsets"]
        return {"start": times["from"] / 1000, "end": times["to"] / 1000, "text": segment["text"]}
    except (KeyError, TypeError):
        return segment
