"""Praat's TextGrid, read and written by praatio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bigfusion.pipeline.transcripts.cue import Cue, refuse
from bigfusion.pipeline.transcripts.tiers import Tier, cues, of_cues


def read(path: Path, notes: list[str]) -> list[Cue]:
    """The intervals with words, tier by tier: a tier is a speaker's, and ``emotion@NAME`` holds the labels of NAME's.

    What labels no interval has goes to ``notes``.

    Raises:
        CorpusError: the file is not a TextGrid.
    """
    from praatio import textgrid
    from praatio.data_classes.interval_tier import IntervalTier

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
    except Exception as error:  # what a damaged file raises there is of every kind
        refuse(path, "a TextGrid of Praat", error)
    tiers = (
        Tier.named(name, [(start, end, text) for start, end, text in tier.entries])
        for name, tier in zip(grid.tierNames, grid.tiers, strict=True)
        if isinstance(tier, IntervalTier)
    )
    return cues(tiers, notes)


def written(several: Sequence[Cue], seconds: float) -> bytes:
    """A TextGrid of a recording of ``seconds``: for each speaker a tier of words, and one of labels."""
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    end = max(seconds, *(cue.end for cue in several), 0.001)
    grid = Textgrid(0, end)
    for name, spans in of_cues(several).items():
        grid.addTier(IntervalTier(name, spans, 0, end))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "grid.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True, reportingMode="silence")
        return path.read_bytes()
