"""One stream of one media file, limited to a span: packets in decoding order. It counts errors and time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import av
from av.stream import Disposition

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media import riff
from bigfusion.pipeline.media.channels import ordinal
from bigfusion.pipeline.media.packet_index import BY_PLACE, BY_TIME, Entry, packet_index
from bigfusion.pipeline.schema import MediaSpan, Status

INDEXED = {"avi", "matroska", "mov", "wav"}
"""The containers that can be entered at a given time: wav by the header's bytes a second, if they are true."""

STAMPLESS = {"aac", "ac3", "eac3", "mp3"}
"""The containers without timestamps. Their frames of sound follow one another without gaps."""

LATE = 20.0
"""A span that begins up to this many seconds into a file without an index is read from the file's beginning."""

RIFF = {"avi", "wav"}
"""The containers whose first bytes state how long the file is."""

PREROLL = 1.0
"""Seconds that are decoded before a span. AAC and MP3 need them to settle, and frames may be stored out of order."""

PARTED = {"mpeg", "mpegts"}
"""The containers whose packets may begin inside a frame. The parts may decode to frames that never were."""

SETTLED = 0.25
"""Seconds before a span from which on the frames of such a file count, if it was entered."""

SETTINGS = {"audio": "audio", "video": "visual"}
"""The settings that limit the decoding of each kind of stream."""

BACKWARDS = 0.5  # seconds; decoding times never decrease, but in damaged files they may stumble
BROKEN = 0.1  # share of packets that may fail to decode: one lost packet must not cost the whole clip
TRUNCATED = 0.1  # share of a stream that may be missing at its end, for the same reason
SLACK = 0.1  # seconds by which a header may exceed a stream without anything being lost
MAX_PIXELS = 1 << 26  # the size of one frame; a larger one is a damaged header


class Source:
    """The best stream of a kind, from a span's start to its end. Times are seconds from the file's first timestamp.

    Args:
        container: from :func:`opened`.
        span: where to read.
        kind: ``"audio"`` or ``"video"``.
        limit: the longest span that is read, in seconds.
        timeout: processor time that decoding may take, in seconds; a busy machine fails no clip.

    Raises:
        MediaError: no_audio, no_video, corrupt_media, overlong or too_short.
    """

    def __init__(self, container: Any, span: MediaSpan, kind: str, limit: float, timeout: float) -> None:
        self._container = container
        self._kind = kind
        self._limit = limit
        self._timeout = timeout
        self._path = span.path
        is_wav = container.format.name == "wav"
        self.understated = is_wav and riff.understated(span.path)
        self.beyond: float | None = None
        self.entered = False
        self.sound_end: float | None = None
        self._clock_offset = 0
        self._packets_ahead: Iterator[Any] | None = None
        self._is_open = kind == "video" or span.track is None
        self._missing = ""
        self._broken = 0
        self._packets = 0
        self._spent = 0.0
        self.tracks = [stream for stream in container.streams if stream.type == kind and not _is_cover(stream)]
        self.stream = self._chosen(span.track if kind == "audio" else None)
        plain = self.stream.codec_context.name.startswith("pcm_")
        self._is_measured = not is_wav or (plain and riff.is_measured(span.path))
        self.stream.codec_context.thread_count = 1  # clips run side by side, not the parts of one
        # A Fraction's arithmetic would cost as much as a packet's decoding.
        self._numerator: int = self.stream.time_base.numerator
        self._denominator: int = self.stream.time_base.denominator
        self._origin = (container.start_time or 0) / 1e6
        self.start = max(span.start or 0.0, 0.0)
        self.end = math.inf if span.end is None else span.end
        self.sound_begin = self.seconds(self.stream.start_time or 0)
        self._check_span()

    def error(self, status: Status, expected: str, found: str) -> MediaError:
        """A typed failure for this file."""
        return MediaError(status, f"{self._path.name}: expected {expected}, found {found}")

    def corrupt(self, expected: str, found: str) -> MediaError:
        """The typed failure ``corrupt_media``."""
        return self.error(Status.CORRUPT_MEDIA, expected, found)

    @property
    def has_stamps(self) -> bool:
        """Whether the file holds timestamps. If not, FFmpeg adds up rounded lengths, and the sum drifts away."""
        return not STAMPLESS & set(self._container.format.name.split(","))

    @property
    def absent(self) -> Status:
        """The status of a file or span that has nothing of this kind."""
        return Status.NO_AUDIO if self._kind == "audio" else Status.NO_VIDEO

    def _chosen(self, track: int | None) -> Any:
        """The stream with this number (from 1 on) among those of its kind, or FFmpeg's choice."""
        if track is not None:
            if not 1 <= track <= len(self.tracks):
                raise self.error(self.absent, f"{self._kind} track {track}", f"{len(self.tracks)} of them")
            stream = self.tracks[track - 1]
        else:
            stream = self._container.streams.best(self._kind)
        if stream is None or _is_cover(stream):
            raise self.error(self.absent, f"{self._kind} in it", "no such stream")
        codec = stream.codec_context
        if codec is None:
            raise self.corrupt(f"{self._kind} in a known coding", "one that this FFmpeg has no decoder for")
        if self._kind == "video" and codec.width * codec.height > MAX_PIXELS:
            raise self.corrupt(f"frames of at most {MAX_PIXELS} pixels", f"{codec.width} x {codec.height}")
        return stream

    @property
    def _stream_end(self) -> float | None:
        """Where the stream ends, according to its header."""
        if self.understated or not self._is_measured:
            return None
        if self.stream.duration is not None:
            return self.seconds((self.stream.start_time or 0) + self.stream.duration)
        return self._container.duration / 1e6 if self._container.duration else None

    def _check_span(self) -> None:
        last = self._stream_end
        if self.end <= self.start or (last is not None and last <= self.start):
            raise self.error(
                Status.TOO_SHORT,
                "a span within the file",
                f"{self.start:g}-{self.end:g} s of a stream that ends at {last or math.inf:g} s",
            )
        if last is not None and self.stream.duration is None:
            last -= max(self._origin, 0.0)  # some files state the length in the header, some the last timestamp
        # AVI's header may count too much: a writer into a pipe puts down anything, and for ADPCM the unit is another.
        self.check_reached(last if last is not None and self._container.format.name != "avi" else self.start)

    def check_reached(self, moment: float) -> None:
        """Refuse a span of more than the limit, now that the stream is known to reach ``moment``."""
        length = min(moment, self.end) - self.start
        if length > self._limit:
            raise self.error(Status.OVERLONG, f"at most {self._limit:g} s", f"{length:.1f} s or more")

    def notes(self) -> list[str]:
        """What was decided on the way, after reading: a track taken, an end missed."""
        name = "tracks" if self._kind == "audio" else "video tracks"
        taken = f"{len(self.tracks)} {name}, {ordinal(self.tracks.index(self.stream))} taken"
        return [
            *([taken] if len(self.tracks) > 1 and self._is_open else []),
            *([self._missing] if self._missing else []),
        ]

    def check_complete(self, moment: float) -> None:
        """Refuse a stream that ended at ``moment`` if its header promises more, or if too many packets were broken."""
        if self._broken > max(1.0, BROKEN * self._packets):
            raise self.corrupt(
                f"{self._kind} that decodes", f"{self._broken} of {self._packets} packets that do not decode"
            )
        kind = self._container.format.name.split(",")
        if self.beyond is not None:  # the stream continues after the span, so what is missing before is a gap
            return
        # MP4's index is exact. Other containers' lengths are estimates, or the longest of several streams.
        if "mov" in kind and self.stream.duration is not None:
            promised = min(self.end, self._stream_end or 0.0)
            if moment < promised - self._grace(promised):
                raise self.corrupt(f"{self._kind} up to {promised:.2f} s", f"its end at {moment:.2f} s (truncated)")
            if moment < promised - SLACK:
                self._missing = f"{promised - moment:.1f} s missing at the end"
        # If a wav or avi file is truncated, FFmpeg takes the rest for its whole length and says nothing.
        whole = math.isfinite(self.end) and moment >= self.end - self._grace(self.end)
        if RIFF & set(kind) and not whole:
            stated, size = riff.stated_bytes(self._path), self._path.stat().st_size
            if stated * (1 - TRUNCATED) > size:
                raise self.corrupt(f"{stated} bytes", f"{size} (truncated)")
            if stated - size > riff.TRAILER:
                self._missing = f"{stated - size} bytes missing at the end"

    def _grace(self, promised: float) -> float:
        """How many seconds may be missing before ``promised``."""
        return TRUNCATED * (promised - self.start) + SLACK

    def seconds(self, timestamp: int) -> float:
        """A timestamp of the stream, in seconds on the file's clock."""
        return (timestamp + self._clock_offset) * self._numerator / self._denominator - self._origin

    def length(self, duration: int | None) -> float:
        """A length in the stream's units, in seconds; 0 if there is none."""
        return (duration or 0) * self._numerator / self._denominator

    @property
    def frame_seconds(self) -> float:
        """How long a frame is shown, by the stream's frame rate."""
        return 1.0 / float(self.stream.average_rate or 25)

    def seek(self, moment: float) -> None:
        """Go to the last keyframe before ``moment`` minus the pre-roll, if the container has an index.

        Otherwise stay at the beginning. Without an index FFmpeg guesses a position from the bit rate. After such a
        guess MP3's times are wrong, and a transport stream continues between two keyframes.

        Raises:
            MediaError: corrupt_media if FFmpeg refuses.
        """
        if moment <= PREROLL or not self._is_measured or not INDEXED & set(self._container.format.name.split(",")):
            return
        if not self._sought(int((moment - PREROLL + self._origin) / self.stream.time_base)):
            raise self.corrupt(f"a file that can be entered at {moment:g} s", "one that FFmpeg finds no way into")

    def _sought(self, target: int) -> bool:
        """Whether FFmpeg finds a time in the file. It may refuse where the stream begins late or has ended."""
        try:
            self._container.seek(target, stream=self.stream)
        except (av.FFmpegError, OverflowError):
            return False
        return True

    def enter(self) -> bool:
        """Go to a late span of sound, so that its samples equal those of the whole file.

        False means that this failed; then open the file again and read it from its beginning. Without an index FFmpeg
        would guess a position from the bit rate: early spans of such files are read from the beginning.
        """
        kind = set(self._container.format.name.split(","))
        early = PREROLL if INDEXED & kind else LATE
        if self.start <= early or not self._is_measured or not (INDEXED | BY_PLACE | BY_TIME) & kind:
            return True
        target = int((self.start - PREROLL + self._origin) / self.stream.time_base)
        entry = None
        if BY_PLACE & kind:
            index = packet_index(self._path, self._container, self.stream)
            if (entry := index.before(target)) is None:
                return False
            self.sound_end = None if index.end is None else self.seconds(index.end)
            self._container.seek(entry.place, unsupported_byte_offset=True)
        elif not self._sought(target):
            return False
        return self._enter_at(entry, target)

    def _enter_at(self, entry: Entry | None, target: int) -> bool:
        """Whether the next packet is the expected one. If so, it gets the entry's timestamp."""
        demuxed = self._container.demux(self.stream)
        packet = next((packet for packet in demuxed if packet.size), None)
        if packet is None or packet.pts is None or (entry is not None and packet.pos != entry.place):
            return False
        self._clock_offset = 0 if entry is None else entry.stamp - packet.pts
        if packet.pts + self._clock_offset > target:
            return False
        self._packets_ahead = chain([packet], demuxed)
        self.entered = True
        return True

    def enters(self, packet: Any) -> bool:
        """Whether decoding may begin at this packet: a keyframe that is shown before the pre-roll ends."""
        return bool(packet.is_keyframe and packet.pts is not None and self.seconds(packet.pts) <= self.start - PREROLL)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order up to the span's end. The caller must drain the decoder afterwards.

        Raises:
            MediaError: corrupt_media if the stream's clock begins again: its times would mean several moments each,
                and no limit would be noticed.
        """
        demuxed = self._packets_ahead or self._container.demux(self.stream)
        latest = -math.inf
        while True:
            try:
                packet = next(demuxed, None)
            except av.InvalidDataError:  # the container breaks off; what came before may be enough
                self._broken += 1
                return
            if packet is None:
                return
            if packet.dts is not None:
                moment = self.seconds(packet.dts)
                if self._is_before(packet):
                    latest = moment
                elif moment < latest - BACKWARDS:
                    raise self.corrupt("a clock that runs on", f"a step back from {latest:.2f} to {moment:.2f} s")
                latest = max(latest, moment)
                if moment > self.end:
                    self.beyond = self.seconds(packet.dts if packet.pts is None else packet.pts)
                    return
            if packet.size:
                yield packet

    @property
    def settled(self) -> float:
        """The moment before which frames do not count."""
        parted = self.entered and PARTED & set(self._container.format.name.split(","))
        return self.start - SETTLED if parted else -math.inf

    def _is_before(self, packet: Any) -> bool:
        """Whether a packet of a file that was entered lies before the span. The first may be parts of frames."""
        return self.entered and packet.pts is not None and self.seconds(packet.pts) < self.start

    def decode(self, packet: Any | None) -> list[Any]:
        """A packet's frames; ``None`` drains the decoder. A broken packet gives no frame and is counted."""
        counts = packet is not None and not self._is_before(packet)
        self._packets += counts
        began = time.thread_time()
        frames: list[Any] = []
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.FFmpegError:  # not only InvalidDataError: decoders have errors of their own
            self._broken += counts or packet is None
        self._spent += time.thread_time() - began
        if self._spent > self._timeout:
            raise self.corrupt(
                f"to decode it within {self._timeout:g} s of processor time",
                f"that it takes longer; raise {SETTINGS[self._kind]}.timeout_seconds and run with --retry-failed",
            )
        return frames


def _is_cover(stream: Any) -> bool:
    """Whether a stream is a cover picture, which does not count as video."""
    return bool(stream.disposition & Disposition.attached_pic)
