"""What the text encoder reads for an utterance: its words alone, or a passage of its dialogue.

A passage is ``<s> A: ... </s> B: ... </s>``: each utterance follows its speaker's name, and the special tokens are the
encoder's. The utterance's vector comes from its own words in the passage, so one passage may serve several utterances.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.schema import Context, Line, Utterance

log = logging.getLogger("bigfusion")


class Span(NamedTuple):
    """Tokens ``start`` to ``end`` - 1 of a passage."""

    start: int
    end: int


class Reading(NamedTuple):
    """What is read for one utterance: all token ids (special tokens included), and which of them are the utterance's
    own.
    """

    tokens: tuple[int, ...]
    own: Span


@dataclass(frozen=True)
class Passage:
    """Token ids (special tokens included), and the own tokens of each utterance that is read here, by its number."""

    tokens: tuple[int, ...]
    spans: dict[int, Span]


def readings(tokenizer: Any, utterances: Sequence[Utterance], longest: int) -> list[Reading]:
    """What is read for each of ``utterances``.

    Without context, all tokens are the utterance's own, the special ones included (as in sentence-transformers' mean).
    With context, neighbours without words are skipped. Neighbours are added from the nearest outwards, as long as the
    passage has at most ``longest`` tokens. An utterance that is longer than that by itself is cut, and the log counts
    such cuts.

    Raises:
        ExtractionError: context is requested, but the tokenizer has no tokens that begin and separate sentences.
    """
    read = _Tokens(tokenizer, longest)
    read.learn(utterances)
    found = [read.alone(one) if one.context is None else read.within(one, one.context) for one in utterances]
    if read.cut:
        log.warning("text: %d transcripts of more than %d tokens were cut there", read.cut, longest)
    return found


def together(read: Sequence[Reading]) -> list[Passage]:
    """Join equal passages.

    If a dialogue is read whole, all its utterances share one. Numbers are positions in ``read``.
    """
    found: dict[tuple[int, ...], dict[int, Span]] = {}
    for number, (tokens, own) in enumerate(read):
        found.setdefault(tokens, {})[number] = own
    return [Passage(tokens, spans) for tokens, spans in found.items()]


class _Tokens:
    """Token ids of lines. Each line is tokenized once."""

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self._tokenizer, self._longest = tokenizer, longest
        self._whole: dict[str, list[int]] = {}
        self._parts: dict[str, list[int]] = {}
        self.cut = 0

    def learn(self, utterances: Sequence[Utterance]) -> None:
        """Tokenize everything that will be needed in one call."""
        alone = {utterance.text.strip() for utterance in utterances if utterance.context is None}
        lines = {
            line
            for utterance in utterances
            if (context := utterance.context) is not None
            for line in (*context.before, Line(context.speaker, utterance.text), *context.after)
        }
        parts = {_words(line.text) for line in lines} | {_name(line.speaker) for line in lines}
        self._whole = self._encoded(sorted(alone), True)
        self._parts = self._encoded(sorted(parts), False)

    def _encoded(self, texts: list[str], special: bool) -> dict[str, list[int]]:
        if not texts:
            return {}
        found = self._tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
        return dict(zip(texts, map(list, found), strict=True))

    def alone(self, utterance: Utterance) -> Reading:
        text = utterance.text.strip()
        tokens = self._whole[text]
        if len(tokens) > self._longest:
            self.cut += 1
            tokens = self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"]
        return Reading(tuple(tokens), Span(0, len(tokens)))

    def within(self, utterance: Utterance, context: Context) -> Reading:
        begin, part = self._special()
        name, words = self._parts[_name(context.speaker)], self._parts[_words(utterance.text)]
        name = name[: self._longest // 4]
        room = self._longest - 2 - len(name)
        if len(words) > room:
            self.cut += 1
            words = words[:room]
        before, after = self._around(context, self._longest - 2 - len(name) - len(words))
        tokens = [begin, *(token for line in before for token in (*line, part)), *name]
        # Words that give no token (an invisible character) are represented by the name and the closing token.
        span = Span(len(tokens), len(tokens) + len(words)) if words else Span(len(tokens) - len(name), len(tokens) + 1)
        tokens += [*words, part, *(token for line in after for token in (*line, part))]
        return Reading(tuple(tokens), span)

    def _around(self, context: Context, room: int) -> tuple[list[list[int]], list[list[int]]]:
        """The lines before and after that fit, nearest first. A side ends at the first line that does not fit."""
        sides: tuple[list[list[int]], list[list[int]]] = ([], [])
        closed = [False, False]
        for pair in zip_longest(reversed(context.before), context.after):
            for side, line in enumerate(pair):
                if line is None or closed[side] or not line.text.strip():
                    continue
                tokens = self._parts[_name(line.speaker)] + self._parts[_words(line.text)]
                closed[side] = len(tokens) + 1 > room
                if not closed[side]:
                    sides[side].append(tokens)
                    room -= len(tokens) + 1
        return sides[0][::-1], sides[1]

    def _special(self) -> tuple[int, int]:
        found = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        if None in found:
            raise ExtractionError(
                "text.context: expected an encoder whose tokenizer has tokens that begin and part sentences (BERT's "
                "and RoBERTa's kinds), found none; set text.context and text.following to 0"
            )
        return found


def _name(speaker: str) -> str:
    return f"{speaker}:" if speaker else ""


def _words(text: str) -> str:
    """Words inside a line begin with a space: RoBERTa's tokenizer thus tells them from words that begin a text."""
    return f" {text.strip()}" if text.strip() else ""


class Padded(NamedTuple):
    """P passages of at most N tokens, at most S utterances in each, in the order of their spans.

    Shapes: tokens and mask (P, N), 1 = real; own (P, S, N), 1 = one of the utterance's own tokens, float32.
    """

    tokens: NDArray[np.int64]
    mask: NDArray[np.int64]
    own: NDArray[np.float32]


def padded(batch: Sequence[Passage], filler: int) -> Padded:
    """One batch, padded on the right; ``filler`` is the id of the encoder's padding token."""
    width = max(len(passage.tokens) for passage in batch)
    most = max(len(passage.spans) for passage in batch)
    tokens = np.full((len(batch), width), filler, np.int64)
    mask = np.zeros((len(batch), width), np.int64)
    own = np.zeros((len(batch), most, width), np.float32)
    for row, passage in enumerate(batch):
        tokens[row, : len(passage.tokens)] = passage.tokens
        mask[row, : len(passage.tokens)] = 1
        for at, span in enumerate(passage.spans.values()):
            own[row, at, span.start : span.end] = 1
    return Padded(tokens, mask, own)


def batches(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Indices from the longest to the shortest, in batches of at most ``token_budget`` tokens, padding included.

    Equal lengths keep their order. A passage that is longer than the budget forms a batch alone.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    at = 0
    while at < len(order):
        room = max(token_budget // lengths[order[at]], 1)
        yield order[at : at + room]
        at += room
