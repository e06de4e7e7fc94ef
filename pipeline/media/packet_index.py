"""Where decoding of sound can start exactly in files without an index: MP3, AAC, Flash, Ogg, FLAC and others.

A dialogue may lie in one file of three hours, and each of its turns is a span of that file. Decoding up to a late span
costs a minute. Therefore the packets of a file are listed once: a timestamp and a position in the file every few
seconds. The lists of the last files stay in memory. A file that changed counts as another file.
"""

from __future__ import annotations

import math
import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

BY_PLACE = {"aac", "flv", "mp3"}
"""Containers that are entered at a byte position from the list. The positions are exact. Some of them restart their
clock.
"""

BY_TIME = {"asf", "flac", "mpeg", "mpegts", "ogg", "wv"}
"""Containers in which FFmpeg finds a time by bisection. Their packets then carry true timestamps."""

EVERY = 2.0
"""Seconds between two entries of the list. Three hours take 50 kB."""

KEPT = 64
"""The number of files whose lists are kept."""


class Entry(NamedTuple):
    """A packet: its timestamp in the stream's units, and its place in the file in bytes."""

    stamp: int
    place: int


class PacketIndex(NamedTuple):
    """A stream's entries, rising in time, and the end of its sound in the stream's units, if its last packet tells
    it.
    """

    entries: tuple[Entry, ...]
    end: int | None

    def before(self, stamp: float) -> Entry | None:
        """The last entry at or before a timestamp."""
        at = bisect_right(self.entries, stamp, key=lambda entry: entry.stamp)
        return self.entries[at - 1] if at else None


_kept: OrderedDict[tuple[str, int, int, int], PacketIndex] = OrderedDict()
_lock = threading.Lock()


def packet_index(path: Path, container: Any, stream: Any) -> PacketIndex:
    """The index of a stream. If it is not in memory, the file is read to its end.

    Raises:
        OSError: the system cannot read it.
        FFmpegError: FFmpeg cannot read it.
    """
    stat = path.stat()
    key = (str(path.absolute()), stat.st_size, stat.st_mtime_ns, stream.index)
    with _lock:  # hold a lock: a second thread that needs the same index would read the file again
        if key not in _kept:
            _kept[key] = _listed(container, stream)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _listed(container: Any, stream: Any) -> PacketIndex:
    found: list[Entry] = []
    step = round(EVERY / stream.time_base)
    due = -math.inf
    last: Any = None
    for packet in container.demux(stream):
        if packet.pts is None or packet.pos is None or not packet.size:
            continue
        last = packet
        if packet.pts >= due:
            found.append(Entry(packet.pts, packet.pos))
            due = packet.pts + step
    return PacketIndex(tuple(found), None if last is None else _end(last, stream))


def _end(packet: Any, stream: Any) -> int | None:
    """Where sound ends inside its last packet. Encoders pad their last block, and MP3's encoders say by how much."""
    for data in packet.iter_sidedata():
        if data.data_type == "skip_samples":
            _, behind = struct.unpack_from("<II", bytes(data))
            return int(packet.pts + packet.duration - round(behind / stream.rate / stream.time_base))
    return None
