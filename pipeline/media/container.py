"""Opens a media file as a local file and as plain media only: no network, no playlist, no script that names others."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import Flags

from bigfusion.pipeline.errors import EXHAUSTED, ExtractionError, ItemError, MediaError
from bigfusion.pipeline.media import riff
from bigfusion.pipeline.schema import MediaSpan, Status

DEMUXERS = (
    "aac,ac3,aiff,amr,asf,au,avi,caf,dv,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nistsphere,ogg,w64,"
    "wav,webm,wv"
)
"""The containers that are opened. Containers that read other files (hls, dash, concat, image2, sdp) are left out on
purpose.
"""

MARKS = (
    b"RF64", b"\x1aE\xdf\xa3", b"OggS", b"fLaC", b"ID3", b"FLV", b"FORM", b".snd", b"caff", b"riff",
    b"\x30\x26\xb2\x75", b"\0\0\1\xba", b"\0\0\1\xb3", b"#!AMR", b"NIST_1A", b"wvpk", b"\x06\x0e\x2b\x34",
)  # fmt: skip
"""The first bytes of files in those containers. A file that begins so and cannot be opened is damaged."""

CONVERT = "ffmpeg -i {} -c:v libx264 -crf 12 -c:a flac {}.mkv"
"""A command that converts whatever FFmpeg reads into a file that is read here, with next to no loss."""


@contextmanager
def opened(span: MediaSpan) -> Iterator[Any]:
    """The span's file as an input container of PyAV; FFmpeg's errors become ours.

    Raises:
        MediaError: missing_media or corrupt_media.
        ItemError: the system cannot read the file (permission, disk). That may pass, so it is never stored as a
            property of the clip.
        ExtractionError: the system could not read any other file either (no more file handles, no memory).
    """
    path = span.path.absolute()
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        if not path.exists():
            raise MediaError(Status.MISSING_MEDIA, f"{path.name}: expected a media file, found none")
        if not path.is_file():
            raise MediaError(Status.CORRUPT_MEDIA, f"{path.name}: expected a media file, found a folder or a device")
        if riff.plain_pcm(path):
            options["probesize"] = "2048"
        if riff.understated(path):
            options["ignore_length"] = "1"
        try:
            with av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace") as container:
                if container.format.name == "avi":
                    # AVI has no presentation times. FFmpeg makes them up, and they are wrong if B-frames are packed.
                    container.flags &= ~Flags.gen_pts.value
                yield container
        except av.FFmpegError as error:
            # FFmpeg says "not permitted" or "input/output error" for damaged files too, so ask the system.
            if isinstance(error, OSError):
                _read_through(path)
            reason = _not_media(path, error) or f"expected media, found: {error.strerror}"
            raise MediaError(Status.CORRUPT_MEDIA, f"{path.name}: {reason}") from None
    except OSError as error:
        kind = ExtractionError if error.errno in EXHAUSTED else ItemError
        raise kind(f"{path}: cannot be read ({error.strerror}); check the disk and permissions") from None


def _not_media(path: Path, error: av.FFmpegError) -> str:
    """The error text for a text file, or for one that FFmpeg knows and that is in none of :data:`DEMUXERS`; else "".

    FFmpeg calls the second kind an invalid argument.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    known = head[8:12] in (b"WAVE", b"AVI ", b"AVIX") if head[:4] == b"RIFF" else head.startswith(MARKS)
    if known or head[4:8] == b"ftyp" or head[:189:188] == b"GG":  # a transport stream's packets
        return ""
    if head and all(byte >= 0x20 or byte in b"\t\n\r" for byte in head):
        return "expected media, found a text that may name other files, which are not opened"
    if error.errno != errno.EINVAL:
        return ""
    line = CONVERT.format(path.name, path.stem)
    return f"expected a container that is read here, found one that is not (no damage is known of); convert it: {line}"


def _read_through(path: Path) -> None:
    """Read a file to its end.

    Raises:
        OSError: the system cannot.
    """
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
