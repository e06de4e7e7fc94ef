"""WebVTT (``.vtt``): read by webvtt-py, with the speakers of ``<v Speaker>``; and written."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bigfusion.pipeline.transcripts.cue import Cue, refuse, require_times

_STAMP = r"(?:\d+:)?\d{1,2}:\d{1,2}\.\d{1,3}"
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")


def read(path: Path, text: str) -> list[Cue]:
    """The cues in the file's order, with their tags. A cue of several voices becomes one cue a voice.

    Raises:
        CorpusError: the file is not WebVTT, or a cue's times are not.
    """
    import webvtt

    try:
        captions = webvtt.from_string(text)
    except webvtt.errors.MalformedFileError as error:
        refuse(path, "WebVTT, which begins with the line WEBVTT", error)
    require_times(path, text, "00:01.000 --> 00:02.000", lambda line: bool(_TIMES.match(line)))
    return [cue for caption in captions for cue in _voices(caption)]


def _voices(caption: object) -> Iterator[Cue]:
    start, end = (seconds(str(getattr(caption, name))) for name in ("start", "end"))
    before, *voices = _VOICE.split(str(caption.raw_text))  # type: ignore[attr-defined]
    if before.strip() or not voices:
        yield Cue(start, end, before)
    for speaker, words in zip(voices[::2], voices[1::2], strict=True):
        yield Cue(start, end, words, html.unescape(speaker).strip())


def seconds(stamp: str) -> float:
    """``01:02:03.500`` or ``02:03.500`` in seconds."""
    *clock, last = stamp.split(":")
    minutes = sum(int(part) * 60.0**place for place, part in enumerate(reversed(clock)))
    return round(minutes * 60 + float(last), 3)


def written(cues: Iterable[Cue]) -> str:
    """A WebVTT file that shows each cue's label, with the words below. A cue without a label shows its words alone."""
    blocks = ["WEBVTT"]
    for number, cue in enumerate(cues, start=1):
        said = html.escape(cue.text, quote=False)
        voice = f"<v {html.escape(cue.speaker, quote=False)}>" if cue.speaker else ""
        label = f"<b>[{html.escape(cue.label, quote=False)}]</b>" if cue.label else ""
        lines = [f"{number}", f"{_stamp(cue.start)} --> {_stamp(cue.end)}", f"{voice}{label} {said}".rstrip()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _stamp(moment: float) -> str:
    minutes, milliseconds = divmod(round(moment * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
