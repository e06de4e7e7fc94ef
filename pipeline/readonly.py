"""Places that cannot be written, for instance a read-only mount or another person's project.

SQLite keeps files beside a database even to read it. So a database in such a place is read as a file that nobody
changes, and copied into memory. The copy can be changed like any other database, and is forgotten at the end.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

log = logging.getLogger("bigfusion")

_TRIES = 3


def writable(path: Path) -> bool:
    """Whether a file can be written, or made, and other files beside it."""
    if os.access(path, os.F_OK) and not os.access(path, os.W_OK):  # unlike `exists`, it raises no error of the disk
        return False
    path = path.absolute()
    return os.access(next(folder for folder in path.parents if os.access(folder, os.F_OK)), os.W_OK | os.X_OK)


def in_memory(path: Path) -> sqlite3.Connection:
    """A copy in memory of the database at ``path``, for use by any thread.

    The copy is empty if there is no database, or if another process goes on changing it.

    Raises:
        sqlite3.DatabaseError: it cannot be read, or is not a database.
    """
    if path != Path(":memory:"):
        _say(f"{path.parent}: cannot be written; it is read, and nothing is kept there")
        for _ in range(_TRIES):
            copy = _empty()
            before = _state(path)
            if before is None or (_copied(path, copy) and _state(path) == before):
                return copy
            copy.close()
        _say(f"{path}: left out, because another process is changing it; computed again in memory")
    return _empty()


def _empty() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


def _copied(path: Path, copy: sqlite3.Connection) -> bool:
    """Copy a database. What was last written may be only in the log beside it: then both are copied elsewhere first.

    Returns false if one of the files is gone meanwhile.
    """
    if not _log_of(path).exists():
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as source:
            source.backup(copy)
        return True
    with TemporaryDirectory() as folder:
        try:
            copies = [Path(shutil.copyfile(file, Path(folder, file.name))) for file in (path, _log_of(path))]
        except FileNotFoundError:
            return False
        with closing(sqlite3.connect(copies[0])) as source:
            source.backup(copy)
    return True


@cache
def _say(line: str) -> None:
    """Log a line, once in a process."""
    log.info("%s", line)


def _state(path: Path) -> list[tuple[int, int, int]] | None:
    """What tells one state of a database and its log from another. ``None`` if there is no database."""
    found = [file.stat() for file in (path, _log_of(path)) if file.exists()]
    return [(file.st_size, file.st_mtime_ns, file.st_ino) for file in found] if path.exists() else None


def _log_of(path: Path) -> Path:
    return Path(f"{path}-wal")
