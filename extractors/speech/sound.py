"""The sound of a whole file, and where in it somebody speaks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.speech.extra import require
from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import MediaSpan, Status

RATE = 16_000

SHORTEST_SILENCE, SHORTEST_SPEECH, PAD = 200, 150, 50
"""Milliseconds: silences and voices shorter than this are none; each stretch of speech is widened by the last."""


class Region(NamedTuple):
    """A stretch of sound in which somebody speaks, in seconds."""

    start: float
    end: float


def read_sound(media: Path) -> NDArray[np.float32]:
    """The sound of a file as every extractor hears it: (n,), 16 kHz, mono. Empty if it is silent or too short to hear.

    Raises:
        MediaError: the file is missing, is no media file, or has no sound.
    """
    try:
        return read_audio(MediaSpan(media, ""), RATE, limit_seconds=math.inf, timeout_seconds=math.inf)
    except MediaError as error:
        if error.status in (Status.SILENT, Status.TOO_SHORT):
            return np.zeros(0, np.float32)
        raise


def speech_regions(samples: NDArray[np.float32], voice: float) -> list[Region]:
    """Where somebody speaks, by Silero's voice activity detection. Shape: ``samples`` (n,), 16 kHz.

    Raises:
        ExtractionError: the extra ``speech`` is not installed.
    """
    vad = require("faster_whisper.vad")
    if not samples.size:
        return []
    options = vad.VadOptions(
        threshold=voice,
        min_silence_duration_ms=SHORTEST_SILENCE,
        min_speech_duration_ms=SHORTEST_SPEECH,
        speech_pad_ms=PAD,
    )
    found = vad.get_speech_timestamps(samples, options)
    return [Region(speech["start"] / RATE, speech["end"] / RATE) for speech in found]
