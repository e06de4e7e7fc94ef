"""Turns a decoded frame into the pictures for detection: upright, square pixels, the speaker's part of it, SDR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from bigfusion.pipeline.media.tone_mapping import ToneMapper, is_hdr
from bigfusion.pipeline.schema import MediaSpan


@dataclass(frozen=True)
class Frame:
    """One sampled frame, upright, with square pixels, cropped to the span's part of it.

    Shapes: ``grey`` (H, W) uint8 at full size; ``small`` (h, w, 3) uint8 RGB, the same view scaled down. ``time`` is in
    seconds.
    """

    time: float
    grey: NDArray[np.uint8]
    small: NDArray[np.uint8]


class Converter:
    """Decoded frames -> :class:`Frame`. Each frame has its own size: a call's pictures shrink on a bad line."""

    def __init__(self, stream: Any, span: MediaSpan, size: int) -> None:
        self._aspect = float(stream.sample_aspect_ratio or 1)
        self._crop, self._region = span.crop, span.region
        self._size = size
        self._grey, self._small = VideoReformatter(), VideoReformatter()  # each keeps its scaler from frame to frame
        self._tone = ToneMapper()
        self._longest = 0
        self._sizes: set[tuple[int, int]] = set()
        self._last: tuple[Any, Frame] | None = None

    def notes(self) -> list[str]:
        """The decisions made on the way."""
        sizes = [f"{len(self._sizes)} frame sizes"] if len(self._sizes) > 1 else []
        return [*(["tone-mapped"] if self._tone.used else []), *sizes]

    def convert(self, moment: float, frame: Any) -> Frame:
        """The converted frame. If a still is sampled again, it is not converted again."""
        if self._last is not None and self._last[0] is frame:
            before = self._last[1]
            return Frame(moment, before.grey, before.small)
        made = self._convert(moment, frame)
        self._last = frame, made
        return made

    def _convert(self, moment: float, frame: Any) -> Frame:
        width, height = round(frame.width * self._aspect), frame.height
        self._sizes.add((frame.width, frame.height))
        turns = round(frame.rotation / 90) % 4  # quarter turns, counterclockwise
        sides = [width, height] if turns % 2 == 0 else [height, width]
        if self._region is not None:
            left, top, right, bottom = self._region
            sides = [max(round(sides[0] * (right - left)), 1), max(round(sides[1] * (bottom - top)), 1)]
        elif self._crop:
            sides[0] //= 2
        # A picture that shrank is enlarged to the largest size so far: a detector finds faces of one size in both.
        self._longest = max(self._longest, *sides)
        scale = min(self._size, self._longest) / max(sides)
        small_size = max(round(width * scale), 2), max(round(height * scale), 2)
        if is_hdr(frame):
            frame = self._tone.mapped(frame, width, height)
        grey = self._grey.reformat(frame, width, height, "gray", interpolation=Interpolation.AREA, threads=1)
        small = self._small.reformat(frame, *small_size, "rgb24", interpolation=Interpolation.AREA, threads=1)
        return Frame(moment, self._view(grey, turns), self._view(small, turns))

    def _view(self, frame: Any, turns: int) -> NDArray[np.uint8]:
        """``frame`` as an array, turned upright and cropped."""
        picture = np.rot90(frame.to_ndarray(), turns)
        height, width = picture.shape[:2]
        if self._region is not None:
            left, top, right, bottom = self._region
            across, down = _bounds(left, right, width), _bounds(top, bottom, height)
            picture = picture[down[0] : down[1], across[0] : across[1]]
        elif self._crop == "left":
            picture = picture[:, : width // 2]
        elif self._crop == "right":
            picture = picture[:, width - width // 2 :]
        return np.ascontiguousarray(picture)


def _bounds(first: float, last: float, size: int) -> tuple[int, int]:
    """Shares of a side as pixels, at least one pixel."""
    begin = min(round(first * size), size - 1)
    return begin, max(round(last * size), begin + 1)
