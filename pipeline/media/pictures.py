"""Turns a decoded frame into the pictures for detection: upright, square pixels, the speaker's part of it, SDR."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from bigfusion.pipeline.media.tone_mapping import ToneMapper, is_hdr
from bigfusion.pipeline.schema import MediaSpan


@dataclass(frozen=True)
class Frame:
    """One sampled frame, upright, with square pixels, cropped to the span's part of it; ``time`` is in seconds.

    A picture is converted when it is first asked for. So each reader pays for what it looks at, and several share it.
    """

    time: float
    picture: Picture

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frame at full size, in pixels."""
        return self.picture.shape

    @property
    def grey(self) -> NDArray[np.uint8]:
        """The frame at full size. Shape: (H, W) uint8."""
        return self.picture.grey

    def small(self, size: int = 320) -> NDArray[np.uint8]:
        """The frame with a longer side of ``size`` pixels, unless it is smaller. Shape: (h, w, 3) uint8 RGB."""
        return self.picture.small(size)


class Pose(NamedTuple):
    """What makes a decoded frame upright: left and right exchanged, then quarter turns counterclockwise."""

    mirrored: bool
    turns: int


class Picture:
    """A decoded frame, and what has been converted of it.

    Args:
        frame: of PyAV; SDR.
        size: width and height of the whole upright picture's pixels before it is turned, made square.
        pose: what makes it upright.
        longest: longer side of the largest view so far, in pixels. A picture that shrank is enlarged to it: a detector
            finds faces of one size in both.
    """

    def __init__(self, converter: Converter, frame: Any, size: tuple[int, int], pose: Pose, longest: int) -> None:
        self._converter, self._frame, self._size = converter, frame, size
        self._pose, self._longest = pose, longest
        self._small: dict[int, NDArray[np.uint8]] = {}

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Height and width of the view at full size."""
        width, height = self._size if self._pose.turns % 2 == 0 else self._size[::-1]
        rows, columns = self._converter.view(height, width)
        return rows.stop - rows.start, columns.stop - columns.start

    @cached_property
    def grey(self) -> NDArray[np.uint8]:
        """The view at full size. Shape: (H, W)."""
        return self._converted("gray", self._size, 0)

    def small(self, size: int) -> NDArray[np.uint8]:
        """The view with a longer side of ``size`` pixels. Shape: (h, w, 3)."""
        if size not in self._small:
            width, height = self._size
            scale = min(size, self._longest) / self._converter.longer_side(width, height, self._pose.turns)
            scaled = max(round(width * scale), 2), max(round(height * scale), 2)
            self._small[size] = self._converted("rgb24", scaled, size)
        return self._small[size]

    def _converted(self, kind: str, size: tuple[int, int], scaler: int) -> NDArray[np.uint8]:
        scaled = self._converter.scaler(scaler).reformat(
            self._frame, *size, kind, interpolation=Interpolation.AREA, threads=1
        )
        array = scaled.to_ndarray()
        picture = np.rot90(np.fliplr(array) if self._pose.mirrored else array, self._pose.turns)
        return np.ascontiguousarray(picture[self._converter.view(*picture.shape[:2])])


class Converter:
    """Decoded frames -> :class:`Picture`. Each frame has its own size: a call's pictures shrink on a bad line."""

    def __init__(self, stream: Any, span: MediaSpan) -> None:
        self._aspect = float(stream.sample_aspect_ratio or 1)
        self._crop, self._region = span.crop, span.region
        self._scalers: dict[int, VideoReformatter] = {}
        self._tone = ToneMapper()
        self._longest = 0
        self._sizes: set[tuple[int, int]] = set()

    def notes(self) -> list[str]:
        """The decisions made on the way."""
        sizes = [f"{len(self._sizes)} frame sizes"] if len(self._sizes) > 1 else []
        return [*(["tone-mapped"] if self._tone.used else []), *sizes]

    def picture(self, frame: Any) -> Picture:
        """The upright picture. It refers to this converter, which keeps none: no circle holds decoded frames."""
        size = round(frame.width * self._aspect), frame.height
        pose = _pose(frame)
        self._sizes.add((frame.width, frame.height))
        self._longest = max(self._longest, self.longer_side(*size, pose.turns))
        if is_hdr(frame):
            frame = self._tone.mapped(frame, *size)
        return Picture(self, frame, size, pose, self._longest)

    def scaler(self, size: int) -> VideoReformatter:
        """The scaler of one size of pictures: it keeps its tables from frame to frame."""
        return self._scalers.setdefault(size, VideoReformatter())

    def longer_side(self, width: int, height: int, turns: int) -> int:
        """The longer side of the view of a picture that has this size before it is turned."""
        sides = [width, height] if turns % 2 == 0 else [height, width]
        if self._region is not None:
            left, top, right, bottom = self._region
            sides = [max(round(sides[0] * (right - left)), 1), max(round(sides[1] * (bottom - top)), 1)]
        elif self._crop:
            sides[0] //= 2
        return max(sides)

    def view(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of the span's part of an upright picture of this size."""
        if self._region is not None:
            left, top, right, bottom = self._region
            return _bounds(top, bottom, height), _bounds(left, right, width)
        if self._crop == "left":
            return slice(0, height), slice(0, width // 2)
        if self._crop == "right":
            return slice(0, height), slice(width - width // 2, width)
        return slice(0, height), slice(0, width)


def _pose(frame: Any) -> Pose:
    """The pose by the frame's display matrix. Front cameras and mirrored exports write matrices with a reflection.

    PyAV's rotation is that of the frame's upper edge, which a reflection turns by half. ``frame.side_data`` would keep
    the frame in a circle of references.
    """
    matrix = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # type: ignore[call-arg]
    if matrix is None:
        return Pose(False, 0)
    (a, b), (c, d) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2].astype(float)
    mirrored = a * d < b * c
    return Pose(mirrored, (round(frame.rotation / 90) + 2 * mirrored) % 4)


def _bounds(first: float, last: float, size: int) -> slice:
    """Shares of a side as pixels, at least one pixel."""
    begin = min(round(first * size), size - 1)
    return slice(begin, max(round(last * size), begin + 1))
