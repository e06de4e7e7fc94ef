"""SubRip (``.srt``), read by pysubs2."""

from __future__ import annotations

from pathlib import Path

from bigfusion.pipeline.transcripts.cue import Cue, refuse


def read(path: Path, text: str) -> list[Cue]:
    """The cues in the file's order, with their tags.

    Raises:
        CorpusError: there is no cue in the file.
    """
    import pysubs2

    try:
        events = pysubs2.SSAFile.from_string(text, format_="srt")
    except (pysubs2.Pysubs2Error, ValueError) as error:
        refuse(path, "SubRip cues (00:00:01,000 --> 00:00:02,000)", error)
    if not len(events):
        refuse(path, "SubRip cues (00:00:01,000 --> 00:00:02,000)", "none")
    return [Cue(event.start / 1000, event.end / 1000, event.text.replace("\\N", "\n")) for event in events]
