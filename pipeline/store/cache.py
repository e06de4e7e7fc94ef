"""Local copies of a bucket's shards that this machine has read or written: a folder of files with a size limit.

A shard never changes under its name, so a copy is right if its bytes match its name. Each copy is checked when it is
read. A damaged copy is fetched again. The copies that were unused for the longest time are removed first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path

from bigfusion.pipeline.store.shards import is_sound

log = logging.getLogger("bigfusion.store")

_FILL = 0.9  # share that remains after making room, so that not every new shard has to make room


class ShardCache:
    """Copies of shards in ``folder``, of ``limit`` bytes in all; several processes may share one."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._size: int | None = None
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes | None:
        """A shard's bytes, verified; ``None`` if there is no sound copy."""
        if not self._limit:
            return None
        path = self._folder / name
        try:
            payload = path.read_bytes()
        except OSError:
            return None
        if not is_sound(name, payload):
            log.warning("%s: the copy on this machine is damaged; fetched again", path)
            self.forget(name)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return payload

    def keep(self, name: str, payload: bytes) -> None:
        """Keep a copy. If the disk is full, none is kept."""
        if len(payload) > self._limit * _FILL:
            return
        partial = self._folder / f".{name}.{os.getpid()}-{threading.get_ident()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(payload)  # no sync: a torn copy is detected when it is read
            partial.replace(self._folder / name)
        except OSError as error:
            log.debug("%s: no copy kept (%s)", self._folder, error.strerror)
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            return
        with self._lock:
            self._size = (self._bytes() if self._size is None else self._size + len(payload))  # fmt: skip
            if self._size > self._limit:
                self._make_room()

    def forget(self, name: str) -> None:
        """Remove a copy."""
        with contextlib.suppress(OSError):
            (self._folder / name).unlink(missing_ok=True)

    def _bytes(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _make_room(self) -> None:
        left = self._bytes()  # another process may have made room already
        for _, size, path in sorted(self._files()):
            if left <= self._limit * _FILL:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108
            left -= size
        self._size = left

    def _files(self) -> list[tuple[float, int, str]]:
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
        return found
