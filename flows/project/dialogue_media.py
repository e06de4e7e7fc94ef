"""The media of a dialogue in one piece: its utterances' files or parts of files, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigfusion.model.scoring.timeline import Clip
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.media.facts import MediaFacts, media_facts
from bigfusion.pipeline.schema import MediaSpan, Utterance

PLAYABLE = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".wav", ".mp3", ".m4a", ".ogg", ".flac"))
"""Endings of files that browsers can play. A video with another ending gives way to the utterance's sound file."""

PAUSE = 30.0
"""A longer pause between two utterances of one file, in seconds, is left out."""

UNHEARD = 2.0
"""The seconds of an utterance whose file is missing or damaged."""


@dataclass(frozen=True)
class Laid:
    """``times`` are the start and the end of each utterance. ``clips`` is empty if no utterance has media."""

    times: tuple[tuple[float, float], ...]
    clips: tuple[Clip, ...]
    has_picture: bool

    @property
    def seconds(self) -> float:
        """The length of the whole."""
        return max((end for _, end in self.times), default=0.0)


@dataclass
class Lengths:
    """The facts of media files, read once each. ``None``: the file is missing or damaged."""

    known: dict[Path, MediaFacts | None] = field(default_factory=dict)

    def of(self, path: Path) -> MediaFacts | None:
        """The facts of a file."""
        if path not in self.known:
            try:
                facts = media_facts(path)
                self.known[path] = facts if facts.seconds > 0 else None
            except CorpusError:
                self.known[path] = None
        return self.known[path]


def lay(utterances: Sequence[Utterance], lengths: Lengths) -> Laid:
    """Lay the utterances of a dialogue one after the other, in their order.

    Utterances that follow each other in one file keep their distance, and may overlap. Every other utterance begins
    when all before it have ended.
    """
    times: list[tuple[float, float]] = []
    clips: list[Clip] = []
    for utterance in utterances:
        now = max((end for _, end in times), default=0.0)
        part = _part(utterance, lengths)
        if part is None:
            times.append((now, now + UNHEARD))
            continue
        path, start, end = part
        last = clips[-1] if clips else None
        if last and _goes_on(last, path, start, times[-1]):
            at = last.start + start - last.offset
            clips[-1] = Clip(path, last.start, max(last.seconds, end - last.offset), last.offset)
        else:
            at = now
            clips.append(Clip(path, at, end - start, start))
        times.append((at, at + end - start))
    return Laid(tuple(times), tuple(clips), _pictures(clips, lengths.known))


def _goes_on(last: Clip, path: Path, start: float, before: tuple[float, float]) -> bool:
    """Whether an utterance belongs to the last clip: the same file, later, and the last utterance was in it too."""
    heard = last.start <= before[0] < last.start + last.seconds
    return heard and path == last.media and last.offset <= start <= last.offset + last.seconds + PAUSE


def _pictures(clips: Iterable[Clip], known: Mapping[Path, MediaFacts | None]) -> bool:
    return any(facts.has_picture for clip in clips if (facts := known[clip.media]))


def _part(utterance: Utterance, lengths: Lengths) -> tuple[Path, float, float] | None:
    """The file of an utterance, and the start and the end of its part of it."""
    for span in _preferred(utterance):
        facts = lengths.of(span.path)
        if facts:
            start = span.start or 0.0
            end = min(facts.seconds if span.end is None else span.end, facts.seconds)
            if end > start:
                return span.path, start, end
    return None


def _preferred(utterance: Utterance) -> list[MediaSpan]:
    """The spans of an utterance: those that a browser can play first, and among them the one with a picture."""
    spans = [span for span in (utterance.visual, utterance.audio) if span]
    return sorted(spans, key=lambda span: span.path.suffix.lower() not in PLAYABLE)
