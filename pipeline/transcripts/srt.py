"""SubRip (``.srt``), read by pysubs2."""

from __future__ import annotations

import re
from pathlib import Path

from bigfusion.pipeline.transcripts.cue import Cue, refuse, require_times

_TIMES = "00:00:01,000 --> 00:00:02,000"
_HOURS = re.compile(r"\d{3}:")
"""Hours from 100 on, whose last two digits alone pysubs2 would read."""


def read(path: Path, text: str) -> list[Cue]:
    """The cues in the file's order, with their tags.

    Raises:
        CorpusError: there is no cue in the file, or a cue's times are not SubRip's.
    """
    import pysubs2
    from pysubs2.time import TIMESTAMP

    require_times(path, text, _TIMES, lambda line: len(TIMESTAMP.findall(line)) == 2 and not _HOURS.search(line))
    try:
        events = pysubs2.SSAFile.from_string(text.replace("\r\n", "\n").replace("\r", "\n"), format_="srt")
    except (pysubs2.Pysubs2Error, ValueError) as error:
        refuse(path, f"SubRip cues ({_TIMES})", error)
    if not len(events):
        refuse(path, f"SubRip cues ({_TIMES})", "none")
    return [Cue(event.start / 1000, event.end / 1000, event.text.replace("\\N", "\n")) for event in events]
