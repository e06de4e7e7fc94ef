"""Claims on cells: they keep two runs on one shard folder from doing the same work.

A claim is a lock on one byte of one file; the cell's fingerprint gives the position. If the holder dies, the kernel (or
the file server) releases the lock. Claims only save work. On a file system without locks, two runs may compute the same
cell. The second copy is then an ordinary duplicate.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger("bigfusion.store")

_DIGITS = 15  # hex digits of the fingerprint: 60 bits; a file offset has 63
_TAKEN = {errno.EAGAIN, errno.EACCES}


class Claims:
    """Claims on cells of one shard folder, through the file at ``path``."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def close(self) -> None:
        """Close the file, which ends every claim made through it."""
        os.close(self._file)

    @contextmanager
    def take(self, fingerprints: Iterable[str]) -> Iterator[set[str]]:
        """Claim the ``fingerprints`` that nobody else holds, for the duration of the block. Never waits."""
        mine: set[str] = set()
        try:
            mine.update(key for key in dict.fromkeys(fingerprints) if self._lock(key, fcntl.F_WRLCK))
            yield mine
        finally:
            for key in mine:
                self._lock(key, fcntl.F_UNLCK)

    def _lock(self, fingerprint: str, kind: int) -> bool:
        # struct flock; an open-file-description lock belongs to this object, not to the process: threads have their own
        request = struct.pack("hhqqi4x", kind, os.SEEK_SET, int(fingerprint[:_DIGITS], 16), 1, 0)
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, request)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            log.debug("no locks on this file system (%s): another run may compute the same cells", error.strerror)
        return True
