"""Speech recognition with Whisper (Radford et al., 2023), run by CTranslate2: words with their times, and the language.

Whisper invents words where nobody speaks. It hears only the stretches in which voice activity was found; text that
repeats itself, and words outside those stretches, are dropped, and a note counts them. It decodes without sampling, so
the same sound gives the same words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.compute import cores
from bigfusion.extractors.speech.extra import require
from bigfusion.extractors.speech.settings import HeardSettings
from bigfusion.extractors.speech.sound import PAD, RATE, SHORTEST_SILENCE, SHORTEST_SPEECH, Region
from bigfusion.extractors.speech.words import Heard, Word
from bigfusion.pipeline.errors import ExtractionError

REPETITION = 2.4
"""How many times smaller gzip makes text that counts as repeating itself; Whisper's own threshold."""
BESIDE = 0.25
"""Seconds that the middle of a word may lie outside the speech: Whisper's times are that coarse."""


def recognise(
    samples: NDArray[np.float32],
    regions: Sequence[Region],
    folder: Path,
    settings: HeardSettings,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Heard:
    """The words of a file. Shape: ``samples`` (n,), 16 kHz. ``progress(s)`` is called when s more seconds are heard.

    Raises:
        ExtractionError: the model cannot be loaded, or does not know the language.
    """
    if not regions:
        return Heard(language=settings.language, language_probability=0.0)
    model = _loaded(folder, settings)
    if settings.language is not None and settings.language not in model.supported_languages:
        raise ExtractionError(
            f"predict.language {settings.language!r}: expected one of {', '.join(model.supported_languages[:99])}; "
            "correct it, or choose a multilingual model"
        )
    segments, info = model.transcribe(
        samples,
        language=settings.language,
        beam_size=settings.beam,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        vad_filter=True,
        vad_parameters={
            "threshold": settings.voice,
            "min_silence_duration_ms": SHORTEST_SILENCE,
            "min_speech_duration_ms": SHORTEST_SPEECH,
            "speech_pad_ms": PAD,
        },
    )
    clock = _Clock(progress)
    words, notes = _kept(segments, regions, clock.reach)
    clock.reach(len(samples) / RATE)
    return Heard(
        language=info.language, language_probability=float(info.language_probability), words=words, notes=notes
    )


class _Clock:
    """Reports how many seconds more have been heard."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress, self._reached = progress, 0.0

    def reach(self, moment: float) -> None:
        """Everything up to this moment has been heard."""
        if moment > self._reached:
            self._progress(moment - self._reached)
            self._reached = moment


def _kept(
    segments: Iterable[Any], regions: Sequence[Region], reach: Callable[[float], None]
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """The words of Whisper's segments that somebody said, and notes on those that nobody did."""
    words: list[Word] = []
    repeated = beside = 0
    for number, segment in enumerate(segments):
        reach(float(segment.end))
        if segment.compression_ratio > REPETITION:
            repeated += 1
            continue
        for word in segment.words:
            if math.isfinite(word.start) and _within(float(word.start + word.end) / 2, regions):
                words.append(
                    Word(
                        start=round(float(word.start), 3),
                        end=round(float(word.end), 3),
                        text=word.word,
                        score=round(float(word.probability), 4),
                        segment=number,
                    )
                )
            else:
                beside += 1
    notes = [f"{repeated} stretches of text that repeats itself were dropped"] if repeated else []
    notes += [f"{beside} words where nobody speaks were dropped"] if beside else []
    return tuple(words), tuple(notes)


def _within(moment: float, regions: Sequence[Region]) -> bool:
    return any(region.start - BESIDE <= moment <= region.end + BESIDE for region in regions)


def _loaded(folder: Path, settings: HeardSettings) -> Any:
    """The model in memory."""
    whisper = require("faster_whisper")
    device = settings.device
    if device == "auto":
        device = "cuda" if require("ctranslate2").get_cuda_device_count() else "cpu"
    try:
        return whisper.WhisperModel(
            str(folder), device=device, compute_type=settings.precision, cpu_threads=settings.threads or cores()
        )
    except (RuntimeError, ValueError, OSError) as error:
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExtractionError(
            f"predict.speech_model {settings.speech_model!r}: expected a Whisper that {device} runs as "
            f"{settings.precision}, found: {found}; fetch the model anew, or set predict.device = 'cpu'"
        ) from None
