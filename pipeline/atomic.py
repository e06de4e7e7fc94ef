"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".tmp"


def write_whole(path: Path, content: bytes, before: Callable[[], object] = lambda: None) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old bytes or the new ones.

    Temporary file in the same folder, fsync, rename, fsync of the folder. A missing folder is created. A kill may leave
    the temporary file behind: its name begins with a dot and ends in ``.tmp``. If somebody takes a file that is being
    written for such a leftover (a clock that jumps makes it old) and removes it, it is written again. ``before`` is
    called when the new bytes are on the disk, before the rename.

    Raises:
        OSError: the file cannot be written; nothing of it is visible.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        for last in (False, False, True):
            _write_synced(partial, content)
            before()
            try:
                partial.replace(path)
                break
            except FileNotFoundError:
                if last:
                    raise
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``path``, to be written within the block; at its end it gets that name.

    As with :func:`write_whole`, a reader sees the old bytes or the new ones, and nothing if the block fails.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}{PARTIAL}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_folder(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """Write a file as :func:`write_whole` does, unless it exists.

    If several writers compete, the first one's bytes stay.

    Raises:
        OSError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PARTIAL}")
    write_whole(partial, content)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make changes of names in a folder (new, renamed, removed) survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        _write_all(file, content)
        os.fsync(file)
    finally:
        os.close(file)


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:  # one write may take only a part of the bytes
        left = left[os.write(file, left) :]
