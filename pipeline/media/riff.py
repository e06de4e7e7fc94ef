"""The lengths that chunk files (wav, aiff, caf, w64, avi) state, and when a stated length cannot be true."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.schema import Status

PCM, FLOAT, ALAW, MULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
"""Codings in a wav's header."""

DTS = (b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8")
"""The first bytes of a DTS frame. Some wav files hold DTS as if it were PCM."""

UNKNOWN = 0x7FFF0000
"""A length of at least this (2^31 less 64 KiB) was written by a program that writes into a pipe, unless the file is
that long.
"""

TRAILER = 1024
"""This many bytes behind a wav's samples need no explanation: tags of other formats, padding."""

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""The first bytes of tags that music programs write behind the samples without a chunk's head."""

CHUNKS = 1000


class Chunk(NamedTuple):
    """One part of a RIFF file: its name, and where its content lies in the file, in bytes."""

    name: bytes
    begin: int
    size: int


class Form(NamedTuple):
    """How chunks lie in a file: the first one's position, the heads' format, the alignment, the name of the sample
    chunk.

    ``counted`` is the number of bytes of a chunk's head that its size includes.
    """

    first: int
    chunk: str
    padding: int
    samples: bytes
    counted: int = 0


WAV = Form(12, "<4sI", 2, b"data")
AIFF = Form(12, ">4sI", 2, b"SSND")
CAF = Form(8, ">4sQ", 1, b"data")
W64 = Form(40, "<16sQ", 8, b"data", counted=24)


def stated_bytes(path: Path) -> int:
    """The length that a RIFF file states, in bytes; 0 if it states none."""
    with path.open("rb") as file:
        kind, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    if kind != b"RIFF" or size in (0, 0xFFFFFFFF) or (size >= UNKNOWN and size > path.stat().st_size):
        return 0
    return int(size) + 8


def plain_pcm(path: Path) -> bool:
    """Whether a file is PCM in wav, so that its header says everything.

    If this is not known, FFmpeg reads seconds of sound (20 ms of work in stereo) to find out whether the samples are
    DTS.

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


def is_measured(path: Path) -> bool:
    """Whether a wav's header gives the true length of a second in bytes, so that a moment's place in it is known.

    It is known of plain samples alone. Many writers give the wrong number for ADPCM and other coders, and some for
    PCM; no player minds. If the number is zero, FFmpeg reckons it from the other fields.

    Raises:
        OSError: the system cannot read it.
    """
    chunk = next((chunk for chunk in _chunks(path, WAV) if chunk.name == b"fmt "), None)
    if chunk is None or chunk.size < 16:
        return False
    with path.open("rb") as file:
        file.seek(chunk.begin)
        head = file.read(min(chunk.size, 26)).ljust(26, b"\0")
    coding, channels, rate, second, block, bits = struct.unpack_from("<HHIIHH", head)
    if coding == EXTENSIBLE:
        (coding,) = struct.unpack_from("<H", head, 24)
    plain = coding in (PCM, FLOAT, ALAW, MULAW) and block == channels * -(-bits // 8)
    return plain and second in (0, rate * block)


def understated(path: Path) -> bool:
    """Whether a header counts fewer samples than there are: what follows is neither a chunk, a tag nor padding.

    Such files come from a recorder that died, or from software that wrote the header first.

    Raises:
        MediaError: corrupt_media where that cannot be mended: FFmpeg ignores the lengths of wav alone, and where a
            second wav follows the first nobody knows whether it belongs.
        OSError: the system cannot read it.
    """
    with path.open("rb") as file:
        form = _form(file.read(16))
    if form is None:
        return False
    data = next((chunk for chunk in _chunks(path, form) if chunk.name[:4] == form.samples), None)
    if data is None or data.size >= UNKNOWN:
        return False
    size = path.stat().st_size
    end = data.begin + data.size + -data.size % form.padding
    if size - end <= TRAILER:
        return False
    with path.open("rb") as file:
        file.seek(data.begin + data.size)
        unpadded = file.read(1 << 16)
    tail = unpadded[end - data.begin - data.size :]
    if form == WAV and tail[:4] == b"RIFF" and tail[8:12] == b"WAVE":
        raise MediaError(
            Status.CORRUPT_MEDIA, f"{path.name}: expected one wav file, found another behind it; split or join them"
        )
    if any(_is_explained(rest, form, size - end) for rest in (tail, unpadded)):
        return False
    if form != WAV:
        raise MediaError(
            Status.CORRUPT_MEDIA,
            f"{path.name}: expected samples of {data.size} bytes, found more; write its header anew",
        )
    return True


def _is_explained(tail: bytes, form: Form, length: int) -> bool:
    """Whether ``length`` bytes behind the samples, of which ``tail`` are the first, are a chunk, a tag or padding."""
    name, stated = struct.unpack_from(form.chunk, tail)
    is_chunk = all(0x20 <= byte < 0x7F for byte in name[:4]) and stated <= length + TRAILER
    return is_chunk or tail.startswith(TAGS) or not any(tail)


def _form(head: bytes) -> Form | None:
    """The chunk format of a file that begins like this; ``None`` for any other file."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    return CAF if head[:4] == b"caff" else W64 if head[:4] == b"riff" else None


def _chunks(path: Path, form: Form) -> Iterator[Chunk]:
    """A file's chunks up to its samples."""
    length = struct.calcsize(form.chunk)
    with path.open("rb") as file:
        file.seek(form.first)
        for _ in range(CHUNKS):
            head = file.read(length)
            if len(head) < length:
                return
            name, size = struct.unpack(form.chunk, head)
            size = max(size - form.counted, 0)
            yield Chunk(name, file.tell(), size)
            if size >= UNKNOWN:
                return
            file.seek(size + -size % form.padding, 1)
