"""Which of a file's channels are used: all, mixed as the layout says or, without a layout, equally; or one of them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

ALIKE = 0.5
"""Channels of one scene correlate at least this much. The microphones of several people correlate less."""

FAINT = 0.1
"""A channel counts as silent if its root mean square is below this share of the loudest channel's."""

CANCELLED = 0.05
"""Channels cancel each other if the root mean square of their mix is below this share of the loudest channel's."""

SPEECH_HZ = 400.0
"""A low-frequency (LFE) channel is cut at 120 Hz, so its root mean square frequency never reaches this."""

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

PLANES = 8
"""PyAV reads beyond the list of a frame's planes from this many on, and the process ends."""

FULL_SCALE = {"u8": 2.0**-7, "s16": 2.0**-15, "s32": 2.0**-31, "s64": 2.0**-63}


class Mix(NamedTuple):
    """One channel by its number (from 1 on), or all channels."""

    channel: int | None = None


def ordinal(place: int) -> str:
    """``first`` for 0 and so on."""
    return ORDINALS[place] if place < len(ORDINALS) else f"number {place + 1}"


def planes(frame: Any) -> NDArray[np.float32]:
    """A frame's channels, full scale being 1. Shape: (C, n) float32."""
    array: NDArray[Any] = frame.to_ndarray()
    kind = frame.format.name.removesuffix("p")
    if not frame.format.is_planar:
        array = array.reshape(-1, frame.layout.nb_channels).T
    if kind == "u8":
        array = array.astype(np.float32) - 128
    scaled: NDArray[np.float32] = (array.astype(np.float64) * FULL_SCALE.get(kind, 1.0)).astype(np.float32)
    return scaled


def packed(frame: Any) -> Any:
    """The frame, its samples interleaved if PyAV could not read them otherwise."""
    if not frame.format.is_planar or frame.layout.nb_channels < PLANES:
        return frame
    kind = frame.format.name.removesuffix("p")
    (made,) = av.AudioResampler(kind, frame.layout, frame.sample_rate).resample(frame)
    made.pts = frame.pts
    return made


def is_placeless(frame: Any) -> bool:
    """Whether no layout says how the channels are mixed: several microphones, as a rule.

    FFmpeg would guess the places of more than two, and leave the third of three microphones out as a low-frequency
    channel. It refuses ambisonic sound, or speakers in the ceiling alone.
    """
    channels = frame.layout.channels
    if len(channels) > 2 and all(channel.name == "NONE" for channel in channels):
        return True
    return not _is_mixed(frame.layout.name)


def single(frame: Any, mix: Mix) -> Any:
    """The chosen channel of a frame, or the mean of all, as float."""
    sound = planes(frame)
    mono = np.ascontiguousarray(sound.mean(0) if mix.channel is None else sound[mix.channel - 1])
    made = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
    made.sample_rate = frame.sample_rate
    return made


@cache
def _is_mixed(layout: str) -> bool:
    """Whether FFmpeg has a mix for a layout."""
    try:
        _left_out(layout)
    except (av.FFmpegError, ValueError):
        return False
    return True


@cache
def _left_out(layout: str) -> list[int]:
    """The places of the channels that FFmpeg's mix leaves out: low-frequency ones and, of many, some above."""
    identity = np.eye(av.AudioLayout(layout).nb_channels, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(identity.reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = 48_000
    resampler = av.AudioResampler("flt", "mono", 48_000)
    weights = np.concatenate([block.to_ndarray()[0] for part in (frame, None) for block in resampler.resample(part)])
    return [int(place) for place in np.flatnonzero(weights == 0)]


class Channels:
    """Measures the channels of a span: how loud they are, how alike they are, and how high they sound."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._samples = 0
        self._rate = 0
        self._products: NDArray[np.float64] | None = None
        self._slopes: NDArray[np.float64] | None = None
        self._left_out: list[int] = []
        self._low: list[int] = []

    def add(self, frame: Any) -> None:
        """Add a part of the span."""
        count = frame.layout.nb_channels
        if count < 2:
            return
        sound = planes(frame).astype(np.float64)  # (C, n)
        if self._products is None or self._slopes is None:
            self._products, self._slopes = np.zeros((count, count)), np.zeros(count)
            self._left_out = [] if is_placeless(frame) else _left_out(frame.layout.name)
            names = [channel.name for channel in frame.layout.channels]
            self._low = [place for place in self._left_out if names[place].startswith("LFE")]
            self._rate = frame.sample_rate
        self._products += sound @ sound.T
        self._slopes += np.square(np.diff(sound, axis=1)).sum(1)
        self._samples += sound.shape[1]

    @property
    def _loudness(self) -> NDArray[np.float64]:
        """The channels' root mean square. Shape: (C,); empty if there is at most one channel."""
        if self._products is None:
            return np.zeros(0)
        return np.sqrt(np.diag(self._products) / max(self._samples, 1))

    def better(self, mixed: NDArray[np.float32], silence: float) -> Mix | None:
        """The mix that keeps what the layout's mix would lose. ``None`` if nothing is lost, or a channel was chosen."""
        loudness = self._loudness
        if not loudness.size or self._mix.channel is not None or not mixed.size:
            return None
        left = float(mixed.std(dtype=np.float64))
        lost = left < max(silence, CANCELLED * loudness.max()) and loudness.max() >= silence > 0
        return Mix(int(loudness.argmax()) + 1) if lost and not self._rumble(int(loudness.argmax())) else None

    def _rumble(self, place: int) -> bool:
        """Whether a channel is a low-frequency one and holds nothing else."""
        return place in self._low and not self._is_voice(place)

    def _is_voice(self, place: int) -> bool:
        if self._products is None or self._slopes is None or not self._products[place, place]:
            return False
        hertz = self._rate / (2 * math.pi) * math.sqrt(self._slopes[place] / self._products[place, place])
        return hertz > SPEECH_HZ

    def note(self, chosen: bool) -> str:
        """The note to write if the channels differ and nobody chose one."""
        loudness = self._loudness
        if chosen or not loudness.size or not loudness.max():
            return ""
        count = len(loudness)
        if self._mix.channel is not None:
            return f"{count} channels, {ordinal(self._mix.channel - 1)} taken"
        loud = [place for place in self._left_out if loudness[place] >= FAINT * loudness.max()]
        if lost := [ordinal(place) for place in loud if not self._rumble(place)]:
            return f"{count} channels, mixed without the {', '.join(lost)}"
        return f"{count} channels, mixed" if self._differ(loudness) else ""

    def _differ(self, loudness: NDArray[np.float64]) -> bool:
        heard = [place for place in range(len(loudness)) if place not in self._left_out]
        if loudness[heard].min() < FAINT * loudness.max():
            return True
        products = self._products[np.ix_(heard, heard)] / self._samples  # type: ignore[index]
        return bool((products / np.outer(loudness[heard], loudness[heard])).min() < ALIKE)
