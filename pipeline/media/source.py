"""One stream of one media file, limited to a span: packets in decoding order, with errors and time counted.

A file is opened as a local file and as plain media only: no network, no playlist, no script that names other files.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from bigfusion.pipeline.errors import EXHAUSTED, ExtractionError, ItemError, MediaError
from bigfusion.pipeline.schema import MediaSpan, Status

DEMUXERS = "aac,ac3,aiff,asf,au,avi,caf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,mpegvideo,ogg,w64,wav,webm"
"""The containers that are opened. Left out on purpose: all that read other files (hls, dash, concat, image2, sdp)."""

INDEXED = {"avi", "matroska", "mov", "wav"}
"""The containers that can be entered at a given time."""

RIFF = {"avi", "wav"}
"""The containers whose first bytes state how long the file is."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""Codings in a wav's header."""

DTS = (b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8")
"""How a frame of DTS begins: some wav files hold it as if it were PCM."""

PREROLL = 1.0
"""Seconds that are decoded before a span: AAC and MP3 have to settle, and frames may be stored before their turn."""

SETTINGS = {"audio": "audio", "video": "visual"}
"""Whose settings limit the decoding of each kind of stream."""

BACKWARDS = 0.5  # seconds; decoding times never decrease, but in damaged files they may stumble
BROKEN = 0.1  # share of packets that may fail to decode: one lost packet in a clip is no reason to lose the clip
TRUNCATED = 0.1  # share of a stream that may be missing at its end, for the same reason
MAX_PIXELS = 1 << 26  # of one frame; more is a damaged header


@contextmanager
def opened(span: MediaSpan) -> Iterator[Any]:
    """The span's file as an input container of PyAV; FFmpeg's errors become ours.

    Raises:
        MediaError: missing_media or corrupt_media.
        ItemError: the system cannot read the file (permission, disk). That may pass, so it is never stored as a
            property of the clip.
        ExtractionError: nor could it read another (no more file handles, no memory).
    """
    path = span.path.absolute()
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        if not path.exists():
            raise MediaError(Status.MISSING_MEDIA, f"{path.name}: expected a media file, found none")
        if not path.is_file():
            raise MediaError(Status.CORRUPT_MEDIA, f"{path.name}: expected a media file, found a folder or a device")
        if _says_all(path):
            options["probesize"] = "2048"
        try:
            with av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace") as container:
                yield container
        except av.FFmpegError as error:
            # FFmpeg says "not permitted" or "input/output error" of damaged files too: the system has the last word.
            if isinstance(error, OSError):
                _read_through(path)
            raise MediaError(Status.CORRUPT_MEDIA, f"{path.name}: expected media, found: {error.strerror}") from None
    except OSError as error:
        kind = ExtractionError if error.errno in EXHAUSTED else ItemError
        raise kind(f"{path}: cannot be read ({error.strerror}); check the disk and permissions") from None


def _says_all(path: Path) -> bool:
    """Whether a file is PCM in wav, whose header says all that there is to know.

    FFmpeg would read on for seconds of sound (20 ms of work in stereo), to find out whether the samples are DTS.

    Raises:
        OSError: the system cannot read it.
    """
    with path.open("rb") as file:
        head = file.read(1 << 14)
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 46:
        return False
    (coding,) = struct.unpack_from("<H", head, 20)
    if coding == EXTENSIBLE:
        (coding,) = struct.unpack_from("<H", head, 44)  # the first bytes of its GUID
    return coding in (PCM, FLOAT) and not any(sync in head for sync in DTS)


def _read_through(path: Path) -> None:
    """Read a file to its end.

    Raises:
        OSError: the system cannot.
    """
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


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
        self._broken = 0
        self._packets = 0
        self._spent = 0.0
        self.stream = self._best_stream()
        self.stream.codec_context.thread_count = 1  # clips run side by side, not the parts of one
        # A Fraction's arithmetic would cost as much as a packet's decoding.
        self._numerator: int = self.stream.time_base.numerator
        self._denominator: int = self.stream.time_base.denominator
        self._origin = (container.start_time or 0) / 1e6
        self.start = max(span.start or 0.0, 0.0)
        self.end = math.inf if span.end is None else span.end
        self._check_span()

    def error(self, status: Status, expected: str, found: str) -> MediaError:
        """A typed failure of this file."""
        return MediaError(status, f"{self._path.name}: expected {expected}, found {found}")

    def corrupt(self, expected: str, found: str) -> MediaError:
        """The typed failure ``corrupt_media``."""
        return self.error(Status.CORRUPT_MEDIA, expected, found)

    def _best_stream(self) -> Any:
        stream = self._container.streams.best(self._kind)
        if stream is None or stream.disposition & Disposition.attached_pic:  # a cover picture is no video
            status = Status.NO_AUDIO if self._kind == "audio" else Status.NO_VIDEO
            raise self.error(status, f"{self._kind} in it", "no such stream")
        codec = stream.codec_context
        if codec is None:
            raise self.corrupt(f"{self._kind} in a known coding", "one that this FFmpeg has no decoder for")
        if self._kind == "video" and codec.width * codec.height > MAX_PIXELS:
            raise self.corrupt(f"frames of at most {MAX_PIXELS} pixels", f"{codec.width} x {codec.height}")
        return stream

    @property
    def _stream_end(self) -> float | None:
        """Where the stream ends according to its header."""
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
            last -= max(self._origin, 0.0)  # some write the length into the header, some the last timestamp
        self.check_reached(last if last is not None else self.start)

    def check_reached(self, moment: float) -> None:
        """Refuse a span of more than the limit, now that the stream is known to reach ``moment``."""
        length = min(moment, self.end) - self.start
        if length > self._limit:
            raise self.error(Status.OVERLONG, f"at most {self._limit:g} s", f"{length:.1f} s or more")

    def check_complete(self, moment: float) -> None:
        """Refuse a stream that turned out to end at ``moment``: before its header's promise, or full of errors."""
        if self._broken > max(1.0, BROKEN * self._packets):
            raise self.corrupt(
                f"{self._kind} that decodes", f"{self._broken} of {self._packets} packets that do not decode"
            )
        kind = self._container.format.name.split(",")
        # MP4's index is exact; other containers' lengths are estimates, or the longest of several streams.
        if "mov" in kind and self.stream.duration is not None:
            promised = min(self.end, self._stream_end or 0.0)
            if moment < promised - self._grace(promised):
                raise self.corrupt(f"{self._kind} up to {promised:.2f} s", f"its end at {moment:.2f} s (truncated)")
        # FFmpeg takes what there is of a wav or avi file for its whole length, without a word.
        whole = math.isfinite(self.end) and moment >= self.end - self._grace(self.end)
        if RIFF & set(kind) and not whole:
            stated, size = _riff_bytes(self._path), self._path.stat().st_size
            if stated * (1 - TRUNCATED) > size:
                raise self.corrupt(f"{stated} bytes", f"{size} (truncated)")

    def _grace(self, promised: float) -> float:
        """How many seconds may be missing before ``promised``."""
        return TRUNCATED * (promised - self.start) + 0.1

    def seconds(self, timestamp: int) -> float:
        """A timestamp of the stream on the file's clock."""
        return timestamp * self._numerator / self._denominator - self._origin

    def seek(self, moment: float) -> None:
        """Go to the last keyframe before ``moment`` less the pre-roll, where the container has an index.

        Else stay at the beginning. Without an index FFmpeg guesses from the bit rate: MP3's times are wrong after that,
        and a transport stream goes on between two keyframes.
        """
        if moment > PREROLL and INDEXED & set(self._container.format.name.split(",")):
            target = moment - PREROLL + self._origin
            self._container.seek(int(target / self.stream.time_base), stream=self.stream)

    def enters(self, packet: Any) -> bool:
        """Whether decoding the span might begin at this packet: a keyframe that is shown before the pre-roll ends."""
        return bool(packet.is_keyframe and packet.pts is not None and self.seconds(packet.pts) <= self.start - PREROLL)

    def packets(self) -> Iterator[Any]:
        """Packets in decoding order up to the span's end. The decoder is to be drained afterwards.

        Raises:
            MediaError: corrupt_media where the stream's clock begins again: its times would mean several moments each,
                and no limit would be noticed.
        """
        demuxed = self._container.demux(self.stream)
        latest = -math.inf
        while True:
            try:
                packet = next(demuxed, None)
            except av.InvalidDataError:  # the container breaks off; what came before may suffice
                self._broken += 1
                return
            if packet is None:
                return
            if packet.dts is not None:
                moment = self.seconds(packet.dts)
                if moment < latest - BACKWARDS:
                    raise self.corrupt("a clock that runs on", f"a step back from {latest:.2f} to {moment:.2f} s")
                latest = max(latest, moment)
                if moment > self.end:
                    return
            if packet.size:
                yield packet

    def decode(self, packet: Any | None) -> list[Any]:
        """A packet's frames; ``None`` drains the decoder. A broken packet gives none and is counted."""
        self._packets += packet is not None
        began = time.thread_time()
        frames: list[Any] = []
        try:
            frames = self.stream.codec_context.decode(packet)
        except av.FFmpegError:  # not only InvalidDataError: decoders have errors of their own
            self._broken += 1
        self._spent += time.thread_time() - began
        if self._spent > self._timeout:
            raise self.corrupt(
                f"to decode it within {self._timeout:g} s of processor time",
                f"that it takes longer; raise {SETTINGS[self._kind]}.timeout_seconds and run with --retry-failed",
            )
        return frames


def _riff_bytes(path: Path) -> int:
    """How long a RIFF file says it is, in bytes; 0 where it does not (streamed files state 0 or all ones)."""
    with path.open("rb") as file:
        kind, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    return size + 8 if kind == b"RIFF" and 0 < size < 0xFFFFFFFF else 0
