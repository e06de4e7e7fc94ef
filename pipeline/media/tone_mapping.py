"""Converts HDR pictures (PQ, HLG) to SDR.

Without it a face has hardly any contrast, and no detector or network was trained on such faces.

BT.2100 gives the light of each pixel, and BT.2408 says what is white (203 cd/m2). Light above the share :data:`KNEE` of
white is rolled off smoothly. BT.2087 converts BT.2020's primaries to BT.709's. BT.1886 (gamma 2.4) makes the SDR
picture.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorTrc, VideoReformatter
from numpy.typing import NDArray

WHITE = 203.0
"""cd/m2 of a white sheet of paper in HDR video (BT.2408)."""

DIMMEST = 100.0
"""White is taken for at least this many cd/m2. A picture that stays below it throughout is SDR that was stored as PQ
unchanged.
"""

PEAK = 1000.0
"""cd/m2 of HLG's nominal display."""

KNEE = 0.8
"""Light up to this share of white is left unchanged."""

RANGE = 64.0
"""The roll-off's table reaches to this many times white."""

BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
"""BT.2087, linear light."""

BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def is_hdr(frame: Any) -> bool:
    """Whether a frame's numbers are light on one of HDR's scales."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


class ToneMapper:
    """HDR frames -> SDR frames. The first frame sets white for all, so that brightness does not follow the picture."""

    def __init__(self) -> None:
        self._white = 0.0

    @property
    def used(self) -> bool:
        """Whether any frame was mapped."""
        return self._white > 0

    def mapped(self, frame: Any, width: int, height: int) -> Any:
        """A frame of this size as RGB, 8 bit, BT.709."""
        wide: Any = VideoReformatter().reformat(frame, width, height, "rgb48le", threads=1)
        light = _light(wide.to_ndarray(), frame.color_trc)
        if not self._white:
            brightest = float(np.percentile(light.max(-1), 99.9))
            self._white = min(max(brightest, DIMMEST), WHITE)
        linear = np.clip((light / np.float32(self._white)) @ BT2020_TO_BT709.T, 0, RANGE)
        picture = _sdr()[(np.sqrt(linear / RANGE) * 65535 + 0.5).astype(np.uint16)]  # (H, W, 3)
        return av.VideoFrame.from_ndarray(picture, format="rgb24")


def _light(coded: NDArray[np.uint16], transfer: int) -> NDArray[np.float32]:
    """Displayed light in cd/m2, BT.2020's primaries. Shape: (H, W, 3) -> the same."""
    if transfer == ColorTrc.SMPTE2084:
        return _pq()[coded]
    scene = _hlg()[coded]
    bright = np.maximum(scene @ BT2020_LUMA, 1e-6)
    light: NDArray[np.float32] = scene * (np.float32(PEAK) * bright**0.2)[..., None]
    return light


@cache
def _pq() -> NDArray[np.float32]:
    """SMPTE ST 2084: the light of each 16-bit code, in cd/m2. Shape: (65536,)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.linspace(0, 1, 65536) ** (1 / m2)
    return (10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)


@cache
def _hlg() -> NDArray[np.float32]:
    """ARIB STD-B67: the scene's light of each 16-bit code, from 0 to 1. Shape: (65536,)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    coded = np.linspace(0, 1, 65536)
    return np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12).astype(np.float32)


@cache
def _sdr() -> NDArray[np.uint8]:
    """The SDR code of light, indexed by the square root of its share of :data:`RANGE` times white. Shape: (65536,)."""
    light = np.linspace(0, 1, 65536) ** 2 * RANGE
    rolled = np.where(light <= KNEE, light, KNEE + (1 - KNEE) * -np.expm1(-(light - KNEE) / (1 - KNEE)))
    return np.round(255 * rolled ** (1 / 2.4)).astype(np.uint8)
