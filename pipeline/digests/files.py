"""SHA-256 digests of files. They are remembered with the file's stat, so an unchanged file is not read twice."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bigfusion.pipeline.readonly import in_memory, writable

log = logging.getLogger("bigfusion")

R = TypeVar("R")

SETTLED_NS = 2_000_000_000
"""A file that was modified less than this before it was hashed may change again without a new timestamp, so it is
hashed again. A timestamp that lies further in the future is from before the clock was set back.
"""

_REMEMBER_SECONDS = 5.0
_UNUSABLE = {
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip
"""What SQLite says of a place that cannot be used; else the file is not what was written."""


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileDigests:
    """SHA-256 of files, with a cache by (path, size, mtime, ctime, inode) in one SQLite file.

    ``touch`` costs one more reading and changes no digest. With ``cache=None`` only this object remembers. A damaged
    cache is replaced by an empty one. If the cache cannot be used (full disk), the digests work without it. A warning
    reports both. If its place cannot be written, what it remembers is used, and new digests are kept in memory.
    """

    def __init__(self, cache: Path | None = None, threads: int = 2) -> None:
        self._threads = threads
        self._cache = cache
        if cache is not None and writable(cache):
            cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _database(cache)
        except sqlite3.DatabaseError as error:
            self._mend(error)

    def of(self, paths: Iterable[Path], progress: Callable[[int], None] = lambda done: None) -> dict[Path, str]:
        """The digest of each of ``paths`` that is a file, by path. ``progress(n)`` is called when n more are known."""
        stats = {path: stat for path in dict.fromkeys(paths) if (stat := _stat(path)) is not None}
        known = self._mended(lambda: self._remembered(stats))
        progress(len(known))
        unknown = [path for path in stats if path not in known]
        with self._remembering() as remember, ThreadPoolExecutor(self._threads) as pool:  # hashlib releases the GIL
            for path, sha256 in zip(unknown, pool.map(file_sha256, unknown), strict=True):
                known[path] = sha256
                remember(path, stats[path], sha256)
                progress(1)
        return {path: known[path] for path in stats}

    def one(self, path: Path) -> str:
        """The digest of one file, which must exist.

        Raises:
            FileNotFoundError: there is no such file.
        """
        found = self.of([path])
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]

    @contextmanager
    def _remembering(self) -> Iterator[Callable[[Path, os.stat_result, str], None]]:
        """Save what this block hashes every few seconds, so that an interrupted command loses little."""
        waiting: dict[Path, tuple[os.stat_result, str]] = {}
        written = time.monotonic()

        def write() -> None:
            self._mended(lambda: self._remember(waiting))
            waiting.clear()

        def remember(path: Path, stat: os.stat_result, sha256: str) -> None:
            nonlocal written
            waiting[path] = stat, sha256
            if time.monotonic() - written > _REMEMBER_SECONDS:
                write()
                written = time.monotonic()

        try:
            yield remember
        finally:
            write()

    def _mended(self, work: Callable[[], R]) -> R:
        try:
            return work()
        except sqlite3.DatabaseError as error:
            self._mend(error)
            return work()

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Continue with an empty cache: a new file if the old one is damaged, in memory if the file cannot be used."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF in _UNUSABLE:
            log.warning("%s: cannot be used (%s): the next command reads all files again", self._cache, error)
            self._database = _database(None)
        else:
            log.warning("%s: not a readable cache (%s): begun anew, files are read once more", self._cache, error)
            if self._cache is not None and not writable(self._cache):
                self._database = _database(None)
                return
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._cache}{suffix}").unlink(missing_ok=True)
            self._database = _database(self._cache)

    def _remembered(self, stats: Mapping[Path, os.stat_result]) -> dict[Path, str]:
        if len(stats) > 500:  # one pass over the table is faster than many look-ups
            rows = {path: (stat, sha256) for path, stat, sha256 in self._database.execute("SELECT * FROM files")}
        else:
            query = "SELECT path, stat, sha256 FROM files WHERE path = ?"
            found = (self._database.execute(query, (str(path),)).fetchone() for path in stats)
            rows = {row[0]: (row[1], row[2]) for row in found if row}
        known = {}
        for path, stat in stats.items():
            row = rows.get(str(path))
            if row is not None and row[0] == _signature(stat):
                known[path] = row[1]
        return known

    def _remember(self, found: Mapping[Path, tuple[os.stat_result, str]]) -> None:
        now = time.time_ns()
        rows = [
            (str(path), _signature(stat), sha256)
            for path, (stat, sha256) in found.items()
            if abs(now - stat.st_mtime_ns) > SETTLED_NS
        ]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)


def _database(cache: Path | None) -> sqlite3.Connection:
    if cache is None or writable(cache):
        database = sqlite3.connect(cache or ":memory:", timeout=60, check_same_thread=False)
    else:
        database = in_memory(cache)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")  # a lost cache only costs a reading
    database.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stat TEXT, sha256 TEXT) WITHOUT ROWID")
    return database


def _stat(path: Path) -> os.stat_result | None:
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return stat if path.is_file() else None


def _signature(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"
