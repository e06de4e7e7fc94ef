"""A transcript's vector with the rows of the tokens that it is pooled from. Tokens have spans, no times.

The rows are those of the utterance's own tokens, in their order: without context the special ones too, as in the mean.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.frames import Kept, KeptByVector, with_code
from bigfusion.extractors.text.encoder import DEEP, TextExtractor, TextSettings, Vectors, _Encoder
from bigfusion.extractors.text.passages import Passage
from bigfusion.extractors.text.pretrained import Reference
from bigfusion.extractors.text.spans import token_spans, with_spans
from bigfusion.pipeline.schema import Utterance
from bigfusion.pipeline.sequences import NO_SPAN

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FramedTextExtractor(TextExtractor):
    """Sentence embeddings, and the rows of their tokens. Shape of the frames: (T, D)."""

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    @cached_property
    def _encoder(self) -> _FramedEncoder:
        return _FramedEncoder(self._reference, self._settings)

    def extract(
        self, utterances: Sequence[Utterance], progress: Callable[[int], None] = lambda done: None
    ) -> list[Outcome]:
        """As :meth:`TextExtractor.extract`, with the rows of the tokens and where these lie in the transcripts."""
        outcomes = super().extract(utterances, progress)
        found: list[Outcome] = []
        for utterance, outcome in zip(utterances, outcomes, strict=True):
            if isinstance(outcome, Feature):
                rows = self._encoder.kept.take(outcome.vector)
                found.append(with_spans(outcome, rows, self._encoder.spans(utterance, len(rows))))
            else:
                found.append(outcome)
        if any(isinstance(outcome, Feature) for outcome in found):
            self._encoder.kept.forget()
        return found


class _FramedEncoder(_Encoder):
    """A loaded encoder that keeps the rows of each utterance's own tokens."""

    def __init__(self, reference: Reference, settings: TextSettings) -> None:
        super().__init__(reference, settings)
        self.kept = KeptByVector()
        self._model: Any = _Keeping(self._model)

    def encode(self, batch: Sequence[Passage], stop: threading.Event) -> list[Vectors]:
        """Encode one batch of passages, and keep the rows behind each vector."""
        vectors = super().encode(batch, stop)
        hidden = self._rows()  # (P, N, D)
        for row, (passage, found) in enumerate(zip(batch, vectors, strict=True)):
            for number, span in passage.spans.items():
                self.kept.keep(found[number], hidden[row, span.start : span.end].copy())
        return vectors

    def spans(self, utterance: Utterance, rows: int) -> NDArray[np.int32] | None:
        """Where the tokens behind an utterance's rows lie in its transcript, as :mod:`text.passages` reads it."""
        if utterance.context is None:
            return token_spans(self._tokenizer, utterance.text, longest=self._longest)
        words = token_spans(self._tokenizer, utterance.text, before=" ", special=False)
        if words is None or len(words):
            return words if words is None else words[:rows]
        return np.full((rows, 2), NO_SPAN, np.int32)  # words without a token: the name's rows stand for them

    def _rows(self) -> NDArray[np.float32]:
        """The rows that :func:`sentence_vectors` pooled last in this thread."""
        import torch

        output = self._model.taken()
        if self._settings.layers == "last4":
            hidden = torch.stack([layer.float() for layer in output.hidden_states[-DEEP:]]).mean(0)
        else:
            hidden = output.last_hidden_state.float()
        return np.asarray(hidden.cpu().numpy(), np.float32)


class _Keeping:
    """A model that keeps its last output, thread by thread."""

    def __init__(self, model: Any) -> None:
        self._model, self._kept = model, Kept()

    def __call__(self, *inputs: Any, **more: Any) -> Any:
        self._kept.values = self._model(*inputs, **more)
        return self._kept.values

    def taken(self) -> Any:
        """The last output. It is not kept any longer."""
        output, self._kept.values = self._kept.values, None
        return output

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
