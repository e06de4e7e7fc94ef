"""RTTM: who speaks when, as diarisation writes it. It names the speakers of a transcript's cues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.encoding import read as read_text
from bigfusion.pipeline.transcripts.cue import Cue


def read(path: Path, recording: str = "", shared: bool = False) -> list[Cue]:
    """The turns of one recording, as cues without words.

    A file of several recordings, or one that is ``shared`` by several, must hold ``recording`` (a media file's name
    without its ending) among them.

    Raises:
        CorpusError: a line is not RTTM's, or the file does not hold the recording.
    """
    turns = _turns(path)
    names = list(dict.fromkeys(name for name, _ in turns))
    if not names or (recording not in names and (shared or len(names) > 1)):
        expected = f"turns of {recording}" if names else "lines that begin with SPEAKER"
        raise CorpusError(f"{path}: expected {expected}, found {', '.join(names)[:200] or 'none'}; give its own file")
    return [cue for name, cue in turns if len(names) == 1 or name == recording]


def recordings(path: Path) -> list[str]:
    """The names of the recordings whose turns the file holds.

    Raises:
        CorpusError: a line is not RTTM's.
    """
    return list(dict.fromkeys(name for name, _ in _turns(path)))


def _turns(path: Path) -> list[tuple[str, Cue]]:
    """The turns of every recording, each with the recording's name."""
    lines = [line.split() for line in read_text(path, mojibake=False).splitlines() if line.startswith("SPEAKER")]
    turns = []
    for number, cells in enumerate(lines, start=1):
        try:
            turns.append((cells[1], Cue(float(cells[3]), float(cells[3]) + float(cells[4]), "", cells[7])))
        except (IndexError, ValueError):
            raise CorpusError(
                f"{path}: turn {number}: expected SPEAKER FILE CHANNEL START SECONDS <NA> <NA> NAME, found "
                f"{' '.join(cells)[:80]!r}; correct that line"
            ) from None
    return turns


def with_speakers(cues: Sequence[Cue], turns: Sequence[Cue]) -> list[Cue]:
    """``cues`` with the speaker who speaks longest during each. A cue in which nobody does keeps its own."""
    named = []
    for cue in cues:
        seconds = Counter[str]()
        for turn in turns:
            if (shared := cue.overlap(turn.start, turn.end)) > 0:
                seconds[turn.speaker] += shared  # type: ignore[assignment]
        named.append(replace(cue, speaker=max(seconds, key=lambda name: seconds[name])) if seconds else cue)
    return named
