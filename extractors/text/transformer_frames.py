"""A sentence model's vector with the rows of the tokens that it is pooled from. Tokens have spans, no times.

The rows are those of all tokens that are pooled, special ones included; those of a prompt only if the model pools them.
What comes after pooling (dense layers, normalisation) has not touched them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.checkpoints import Checkpoint
from bigfusion.extractors.frames import Kept, KeptByVector, with_code
from bigfusion.extractors.text.spans import token_spans, with_spans
from bigfusion.extractors.text.transformer import SentenceExtractor, SentenceSettings, _Model
from bigfusion.pipeline.schema import Utterance

if TYPE_CHECKING:
    from torch import Tensor


class FramedSentenceExtractor(SentenceExtractor):
    """Sentence embeddings, and the rows of their tokens. Shape of the frames: (T, D)."""

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    @cached_property
    def _model(self) -> _FramedModel:
        return _FramedModel(self.checkpoint, self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """As :meth:`SentenceExtractor.extract`, with the rows of the tokens and where these lie in the transcripts."""
        outcomes = super().extract(utterances, progress)
        found: list[Outcome] = []
        for utterance, outcome in zip(utterances, outcomes, strict=True):
            if isinstance(outcome, Feature):
                rows = self._model.kept.take(outcome.vector)
                found.append(with_spans(outcome, rows, self._model.spans(utterance.text)))
            else:
                found.append(outcome)
        if any(isinstance(outcome, Feature) for outcome in found):
            self._model.kept.forget()
        return found


class _FramedModel(_Model):
    """A loaded model that keeps the rows of the pooled tokens."""

    def __init__(self, checkpoint: Checkpoint, settings: SentenceSettings) -> None:
        self.kept, self._last = KeptByVector(), Kept()
        super().__init__(checkpoint, settings)
        self.kept.forget()  # the sentences that the model was tried on

    def encode(self, batch: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The vectors of a batch; the rows behind each are kept."""
        vectors = super().encode(batch)
        hidden, self._last.values = np.asarray(self._last.values.cpu().numpy(), np.float32), None  # (B, N, D)
        for row, (tokens, vector) in enumerate(zip(batch, vectors, strict=True)):
            self.kept.keep(vector, hidden[row, self._passed : len(tokens)].copy())
        return vectors

    def spans(self, transcript: str) -> NDArray[np.int32] | None:
        """Where the tokens behind a transcript's rows lie in it."""
        found = token_spans(
            self._tokenizer, transcript, before=self._prompt, longest=self._longest, lower=self._modules.lower
        )
        return found if found is None else found[self._passed :]

    def _hidden(self, tokens: Tensor, mask: Tensor) -> Tensor:
        found = super()._hidden(tokens, mask)
        self._last.values = found
        return found
