"""PyAV: a span of a media file as sampled frames. Everything else is a typed failure.

One thread decodes one span; PyAV releases the GIL meanwhile, so that callers run spans side by side. Times are seconds
from the file's first timestamp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from bigfusion.pipeline.media.source import Source, opened
from bigfusion.pipeline.schema import MediaSpan, Status


@dataclass(frozen=True)
class Frame:
    """One sampled frame, upright, with square pixels, cropped to the span's half.

    Shapes: ``grey`` (H, W) uint8 at full size; ``small`` (h, w, 3) uint8 RGB, the same view scaled down. ``time`` is
    in seconds.
    """

    time: float
    grey: NDArray[np.uint8]
    small: NDArray[np.uint8]


def read_frames(
    span: MediaSpan,
    rate: float = 5.0,
    size: int = 320,
    limit_seconds: float = 60.0,
    timeout_seconds: float = 60.0,
) -> Iterator[Frame]:
    """A span's frames, sampled ``rate`` times a second: the first frame at or after each of start + k / rate.

    Frames are decoded in order and converted only where sampled. Where the container states presentation times, those
    that are neither sampled nor referred to by others are not even decoded; the pixels are the same. ``size`` is the
    longer side of :attr:`Frame.small`, in pixels, unless the frame is smaller. ``timeout_seconds`` is processor time.

    Raises:
        MediaError: missing_media, corrupt_media, no_video, overlong or too_short.
        ItemError: the file is there but the system cannot read it (permission, disk).
    """
    with opened(span) as container:
        source = Source(container, span, "video", limit_seconds, timeout_seconds)
        converter = _Converter(source.stream, span.crop, size)
        for moment, frame in _sampled(source, rate):
            yield converter.convert(moment, frame)


class _Sampler:
    """Which of a rising series of moments are sampled."""

    def __init__(self, start: float, end: float, rate: float) -> None:
        self._start, self._end, self._rate = start, end, rate
        self._due = 0

    def takes(self, moment: float) -> bool:
        step = (moment - self._start) * self._rate + 1e-6  # timestamps are rounded to the stream's clock
        if step < self._due or moment >= self._end:
            return False
        self._due = math.floor(step) + 1
        return True


def _sampled(source: Source, rate: float) -> Iterator[tuple[float, Any]]:
    """The sampled frames and their moments.

    Raises:
        MediaError: corrupt_media or too_short where there is not one.
    """
    source.seek(source.start)
    packets = _needed(source)
    sampler = _Sampler(source.start, source.end, rate)
    wanted: set[int] | None = None
    if all(packet.pts is not None for packet in packets):
        wanted = {pts for pts in sorted(packet.pts for packet in packets) if sampler.takes(source.seconds(pts))}
    decoded = sampled = 0
    moment = source.start
    for packet in [*packets, None]:
        if wanted is not None and packet is not None:
            source.stream.codec_context.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
        for frame in source.decode(packet):
            decoded += 1
            moment = _moment(source, frame, moment)
            if frame.pts in wanted if wanted is not None else sampler.takes(moment):
                sampled += 1
                yield moment, frame
    reached = max((source.seconds(packet.pts) for packet in packets), default=0.0) if wanted is not None else moment
    source.check_complete(reached)
    if not decoded:
        raise source.corrupt("frames that decode", "none")
    if not sampled:
        raise source.error(
            Status.TOO_SHORT, "a frame within the span", f"none between {source.start:g} and {source.end:g} s"
        )


def _needed(source: Source) -> list[Any]:
    """The packets that the span's frames are decoded from: compressed, so that they fit into memory.

    Where the container could not be entered they begin at the last keyframe but one before the pre-roll: where pictures
    are refreshed gradually, a keyframe's is whole by the next one only. A packet that brings the decoder new parameters
    stays, with all that follow.
    """
    packets: list[Any] = []
    entry, changed = 0, False  # the last keyframe's place among them
    for packet in source.packets():
        changed = changed or packet.has_sidedata("new_extradata")
        if not changed and source.enters(packet):
            del packets[:entry]
            entry = len(packets)
        packets.append(packet)
        if packet.dts is not None:
            source.check_reached(source.seconds(packet.dts))
    return packets


def _moment(source: Source, frame: Any, before: float) -> float:
    """A frame's moment; one without any timestamp follows the one before at the stream's rate."""
    stamp = frame.pts if frame.pts is not None else frame.dts
    if stamp is not None:
        return source.seconds(stamp)
    return before + 1.0 / float(source.stream.average_rate or 25)


class _Converter:
    """Decoded frames -> :class:`Frame`: square pixels, upright, one half of the picture where the span says so."""

    def __init__(self, stream: Any, crop: str, size: int) -> None:
        self._aspect = float(stream.sample_aspect_ratio or 1)
        self._crop = crop
        self._size = size
        self._grey, self._small = VideoReformatter(), VideoReformatter()  # each keeps its scaler from frame to frame

    def convert(self, moment: float, frame: Any) -> Frame:
        width, height = round(frame.width * self._aspect), frame.height
        turns = round(frame.rotation / 90) % 4  # quarter turns, counterclockwise
        sides = [width, height] if turns % 2 == 0 else [height, width]
        if self._crop:
            sides[0] //= 2
        scale = min(1.0, self._size / max(sides))
        grey = self._grey.reformat(frame, width, height, "gray", interpolation=Interpolation.AREA, threads=1)
        small = self._small.reformat(
            frame,
            max(round(width * scale), 2),
            max(round(height * scale), 2),
            "rgb24",
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return Frame(moment, self._view(grey, turns), self._view(small, turns))

    def _view(self, frame: Any, turns: int) -> NDArray[np.uint8]:
        """``frame`` as an array, turned upright and cropped."""
        picture = np.rot90(frame.to_ndarray(), turns)
        middle = picture.shape[1] // 2
        if self._crop == "left":
            picture = picture[:, :middle]
        elif self._crop == "right":
            picture = picture[:, picture.shape[1] - middle :]
        return np.ascontiguousarray(picture)
