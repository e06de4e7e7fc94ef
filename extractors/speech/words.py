"""Words with their times, and how they become utterances with speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "؟", "।")
BREATH = 0.25
"""Seconds of silence within an utterance at which the speaker may change."""


class Word(BaseModel):
    """A word as it was heard. ``text`` begins with the space before it, if the language writes one.

    ``score`` is its probability, ``segment`` the number of Whisper's segment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: float
    end: float
    text: str
    score: float
    segment: int


class Heard(BaseModel):
    """The words of a file, and its language with the probability that it is the right one (0: nobody speaks)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    language: str | None
    language_probability: float
    words: tuple[Word, ...] = ()
    notes: tuple[str, ...] = ()


class Turn(BaseModel):
    """A stretch of speech of one speaker, numbered from 0."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: float
    end: float
    speaker: int


class Turns(BaseModel):
    """Who speaks when, in order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Said:
    """Words that one speaker said in one go. ``speaker`` is ``None`` if nobody could be told apart."""

    words: tuple[Word, ...]
    speaker: int | None

    @property
    def start(self) -> float:
        """Seconds."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Seconds."""
        return max(word.end for word in self.words)

    @property
    def text(self) -> str:
        """The words with the spaces between them."""
        return "".join(word.text for word in self.words).strip()


def utterances(words: Sequence[Word], turns: Sequence[Turn], pause: float, longest: float) -> list[Said]:
    """Words as utterances. Sentences of one speaker are joined, up to a pause and up to ``longest`` seconds.

    A sentence is never shared between speakers, unless there is a breath in it.
    """
    joined: list[Said] = []
    for piece in (Said(piece, speaker_of(piece[0].start, piece[-1].end, turns)) for piece in _pieces(words)):
        before = joined[-1] if joined else None
        if (
            before is not None
            and before.speaker == piece.speaker
            and piece.start - before.end < pause
            and piece.end - before.start <= longest
        ):
            joined[-1] = Said((*before.words, *piece.words), piece.speaker)
        else:
            joined.append(piece)
    return [said for said in joined if said.text]


def speaker_of(start: float, end: float, turns: Sequence[Turn]) -> int | None:
    """The speaker with the longest part of a span; if nobody speaks in it, that of the nearest turn."""
    parts: dict[int, float] = {}
    for turn in turns:
        part = min(end, turn.end) - max(start, turn.start)
        if part > 0:
            parts[turn.speaker] = parts.get(turn.speaker, 0.0) + part
    if parts:
        return max(parts, key=lambda speaker: parts[speaker])
    if not turns:
        return None
    return min(turns, key=lambda turn: max(turn.start - end, start - turn.end)).speaker


def _pieces(words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """Words cut at the ends of sentences and of Whisper's segments, and at breaths."""
    pieces: list[list[Word]] = []
    for word in words:
        before = pieces[-1][-1] if pieces else None
        if (
            before is None
            or before.segment != word.segment
            or before.text.rstrip().endswith(SENTENCE_ENDS)
            or word.start - before.end >= BREATH
        ):
            pieces.append([])
        pieces[-1].append(word)
    return [tuple(piece) for piece in pieces]
