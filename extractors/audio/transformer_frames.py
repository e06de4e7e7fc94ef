"""A speech encoder's vector of a turn with the frames that it is pooled from, and their times.

Frame k of a window begins k steps after it. The step is the product of the convolutions' strides (wav2vec 2.0, HuBERT,
WavLM, data2vec: 20 ms), two columns of the spectrogram for w2v-BERT 2.0 and Whisper (20 ms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.audio.transformer import SpeechEncoderExtractor, _Turn, _turn
from bigfusion.extractors.audio.turn_times import times_of
from bigfusion.extractors.audio.turns import RATE
from bigfusion.extractors.base import ExtractorSpec, Feature, Outcome
from bigfusion.extractors.frames import framed, with_code
from bigfusion.pipeline.errors import ExtractionError

if TYPE_CHECKING:
    from bigfusion.extractors.audio.speech_encoder import Prepared, SpeechEncoder

HOP = 160
"""Samples of a column of the spectrograms that w2v-BERT 2.0 reads: 10 ms."""
DECODED_BY = _turn
"""What decodes the turns. Its caller changes no number and does not count, so the search for code finds it here."""


class FramedSpeechEncoderExtractor(SpeechEncoderExtractor):
    """A turn's frames of a speech encoder, and their pooled vector.

    Shape of the frames: (T, D), the chosen layers side by side.
    """

    @cached_property
    def spec(self) -> ExtractorSpec:
        """As without frames, and this code."""
        return with_code(super().spec, __name__)

    def _encoded(
        self, encoder: SpeechEncoder, turns: Sequence[_Turn], progress: Callable[[int], None]
    ) -> list[Outcome]:
        step = _step(encoder, self._settings.model)
        keeping = _Keeping(encoder)
        outcomes = super()._encoded(cast("SpeechEncoder", keeping), turns, progress)
        return [
            self._framed(outcome, turn, keeping, step) if isinstance(outcome, Feature) else outcome
            for outcome, turn in zip(outcomes, turns, strict=True)
        ]

    def _framed(self, feature: Feature, turn: _Turn, keeping: _Keeping, step: int) -> Feature:
        parts = [keeping.take(window) for window in turn.windows]  # of each (T, D)
        counts = [(window.samples, len(part)) for window, part in zip(turn.windows, parts, strict=True)]
        for samples, count in counts:
            if abs(count * step - samples) > 2 * step:
                raise ExtractionError(
                    f"audio model {self._settings.model!r}: expected a frame every {1000 * step / RATE:g} ms, found"
                    f" {count} in {samples / RATE:.2f} s; set level to 'utterance'"
                )
        return framed(feature, np.concatenate(parts), times_of(counts, step))


class _Keeping:
    """An encoder that keeps the frames of each window."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._encoder = encoder
        self._kept: dict[int, list[NDArray[np.float32]]] = {}

    def encode(self, batch: Sequence[Prepared]) -> list[list[NDArray[np.float32]]]:
        """The real frames of each window, layer by layer."""
        found = self._encoder.encode(batch)
        self._kept.update(zip(map(id, batch), found, strict=True))
        return found

    def take(self, window: Prepared) -> NDArray[np.float32]:
        """The frames of a window, its layers side by side. Shape: (T, D). They are not kept any longer."""
        layers = self._kept.pop(id(window))
        return layers[0] if len(layers) == 1 else np.concatenate(layers, axis=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)


def _step(encoder: SpeechEncoder, name: str) -> int:
    """Samples from one frame to the next.

    Raises:
        ExtractionError: the model does not say.
    """
    from bigfusion.extractors.audio.speech_encoder import FRAME

    config, extractor = encoder._model.config, encoder._extractor
    if encoder._whisper:
        return FRAME
    if hasattr(config, "conv_stride"):
        return math.prod(config.conv_stride)
    if hasattr(extractor, "stride"):
        return int(extractor.stride) * HOP
    raise ExtractionError(
        f"audio model {name!r}: expected strides that tell the times of its frames, found none in {config.model_type};"
        " set level to 'utterance'"
    )
