"""Reads a span of a media file as sampled frames, with PyAV. Whatever goes wrong is a typed failure.

One thread decodes one span. PyAV releases the GIL meanwhile, so callers run spans side by side. Times are seconds from
the file's first timestamp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.media.pictures import Converter, Frame
from bigfusion.pipeline.media.sampling import BestEffort, sampled, sampler_of
from bigfusion.pipeline.media.source import Source
from bigfusion.pipeline.schema import MediaSpan, Status

SKIPPING = {"h264", "hevc", "mpeg2video"}
"""The decoders that read ``skip_frame`` at every packet. Others read it only once (AV1), or their packets and pictures
do not correspond (MPEG-4's packed B-frames).
"""


def read_frames(
    span: MediaSpan,
    rate: float = 5.0,
    limit_seconds: float = 60.0,
    timeout_seconds: float = 60.0,
    notes: list[str] | None = None,
) -> Iterator[Frame]:
    """A span's frames, sampled ``rate`` times a second (:mod:`pipeline.media.sampling` says which).

    Frames are decoded in order, and converted only if they are looked at. If the container states presentation times
    and the decoder supports it, frames that are neither sampled nor needed by others are not even decoded; the pixels
    are the same. ``timeout_seconds`` is processor time. Decisions on the way are appended to ``notes``: one of
    several tracks, a missing end, tone-mapped pictures, several frame sizes.

    Raises:
        MediaError: missing_media, corrupt_media, no_video, overlong or too_short.
        ItemError: the file is there but the system cannot read it (permission, disk).
    """
    with opened(span) as container:
        source = Source(container, span, "video", limit_seconds, timeout_seconds)
        converter, last, picture = Converter(source.stream, span), None, None
        for moment, frame in _sampled(source, rate):
            if picture is None or frame is not last:  # a still that is sampled again is not converted again
                last, picture = frame, converter.picture(frame)
            yield Frame(moment, picture)
        if notes is not None:
            notes.extend([*source.notes(), *converter.notes()])


def _sampled(source: Source, rate: float) -> Iterator[tuple[float, Any]]:
    """The sampled frames and their moments.

    Raises:
        MediaError: corrupt_media, no_video or too_short if there is no frame.
    """
    source.seek(source.start)
    packets = _needed(source)
    stamps = _stamps(source, packets)
    sampler = sampler_of(stamps, source.start, source.end, rate)
    skipping = source.stream.codec_context.name in SKIPPING and all(packet.pts is not None for packet in packets)
    wanted = sampled(stamps, source.start, source.end, rate) if skipping else None
    best, decoded, moment, latest, first = BestEffort(), 0, source.start, None, math.inf
    for packet in [*packets, None]:
        if wanted is not None and packet is not None:
            source.stream.codec_context.skip_frame = "DEFAULT" if source.seconds(packet.pts) in wanted else "NONREF"
        for frame in source.decode(packet):
            decoded += 1
            stamp = best.of(frame.pts, frame.dts)
            moment = moment + source.frame_seconds if stamp is None else source.seconds(stamp)
            latest, first = frame, min(first, moment)
            yield from sampler.add(moment, frame)
    if not decoded and source.beyond is not None:
        raise source.error(source.absent, "a frame within the span", f"its first at {source.beyond:.2f} s")
    reached = _reached(source, packets, moment, latest)
    yield from sampler.finish(source.end if source.beyond is not None else reached)
    source.check_complete(reached)
    if not decoded:
        raise source.corrupt("frames that decode", "none")
    if not sampler.taken and first >= source.end:
        raise source.error(source.absent, "a frame within the span", f"its first at {first:.2f} s")
    if not sampler.taken:
        raise source.error(
            Status.TOO_SHORT, "a frame within the span", f"none between {source.start:g} and {source.end:g} s"
        )


def _stamps(source: Source, packets: list[Any]) -> list[float]:
    """The times at which the packets' frames are shown, rising. If the container has none, their decoding times."""
    shown = [packet.pts for packet in packets]
    if any(stamp is None for stamp in shown):
        shown = [packet.dts for packet in packets]
    return sorted({source.seconds(stamp) for stamp in shown if stamp is not None})


def _reached(source: Source, packets: list[Any], moment: float, latest: Any) -> float:
    """The moment until which the last frame is shown: the next frame would begin there."""
    ends = [source.seconds(packet.pts + (packet.duration or 0)) for packet in packets if packet.pts is not None]
    length = 0.0 if latest is None else source.length(latest.duration) or source.frame_seconds
    return max([*ends, moment + length])


def _needed(source: Source) -> list[Any]:
    """The packets that the span's frames are decoded from. They are kept compressed, so that they fit into memory.

    If the container could not be entered, they begin at the last keyframe but one before the pre-roll. With gradual
    refresh, the picture of a keyframe is complete only at the next keyframe. A packet that brings new parameters for
    the decoder stays, and so do all packets after it.
    """
    packets: list[Any] = []
    entry, changed = 0, False  # the position of the last keyframe in `packets`
    for packet in source.packets():
        changed = changed or packet.has_sidedata("new_extradata")
        if not changed and source.enters(packet):
            del packets[:entry]
            entry = len(packets)
        packets.append(packet)
        if packet.dts is not None:
            source.check_reached(source.seconds(packet.dts))
    return packets
