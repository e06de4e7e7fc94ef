"""What the speech encoders share: the sound of a turn, its windows, and pooling over an encoder's frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bigfusion.extractors.base import Failure, media_failure
from bigfusion.extractors.frames import Level, level_field
from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import chosen, read_audio
from bigfusion.pipeline.schema import Status, Utterance
from bigfusion.pipeline.settings import Settings

RATE = 16_000

MIN_SECONDS = 0.1
"""A turn has at least this much sound: a convolutional front end needs 25 ms for a frame, and one frame is no turn."""

MACHINE = frozenset({"kind", "model", "device", "threads", "timeout_seconds"})
"""Settings of a speech encoder that change no number; the model is in the weights' digests."""


class TurnSettings(Settings):
    """What counts as a turn's sound, and how an encoder's frames become one vector."""

    pooling: Literal["mean", "mean+std"] = Field(default="mean", description="over the turn's frames")
    level: Level = level_field()
    limit_seconds: float = Field(default=60.0, gt=0, description="longer clips are `overlong`")
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="processor time that decoding one clip may take; beyond it `corrupt_media`"
    )
    silence_rms: float = Field(default=1e-4, ge=0, description="below this root mean square (1 = full scale) `silent`")
    track: int | None = Field(default=None, ge=1, description="of a file with several; none: FFmpeg's choice")
    channel: int | None = Field(default=None, ge=1, description="of a track with several; none: all, mixed")
    threads: int | None = Field(default=None, ge=1, description="turns side by side; none: one a processor")


def sound_of(utterance: Utterance, settings: TurnSettings, notes: list[str]) -> NDArray[np.float32] | Failure:
    """An utterance's sound, 16 kHz mono as openSMILE gets it, or why there is none. Shape: (n,)."""
    span = utterance.audio
    if span is None:
        return Failure(Status.MISSING_MEDIA, f"{utterance.id}: expected a media file, found none at ingest")
    limits = settings.limit_seconds, MIN_SECONDS, settings.silence_rms, settings.timeout_seconds
    try:
        return read_audio(chosen(span, settings.track, settings.channel), RATE, *limits, notes)
    except MediaError as error:
        return media_failure(error, span)


def windows(samples: NDArray[np.float32], seconds: float) -> Iterator[NDArray[np.float32]]:
    """The sound in as few windows of at most ``seconds`` as it takes, of equal length but for a sample."""
    count = -(-len(samples) // round(seconds * RATE))
    yield from np.array_split(samples, count)


def pooled(frames: Sequence[NDArray[np.float32]], pooling: str) -> NDArray[np.float32]:
    """One vector from the real frames of a turn's windows: mean, or mean and standard deviation side by side.

    Shapes: each of ``frames`` (T, D) -> (D,) or (2 D,) float32. The sums are in float64.
    """
    together = np.concatenate(frames).astype(np.float64)  # (T, D)
    parts = [together.mean(0)] if pooling == "mean" else [together.mean(0), together.std(0)]
    return np.concatenate(parts).astype(np.float32)
