"""A full disk under a command's own Prefect server, which cannot write its database then.

Prefect repeats each call that the server answers with an error, for a minute and more, and a run makes many calls. Our
own files are whole or absent, so the command may end at any moment: it does, in one line.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bigfusion.flows.stopping import end_at_once

_FULL = (errno.ENOSPC, errno.EDQUOT)
_POLL_SECONDS = 5.0
_NEEDED = 1 << 18
"""Bytes that a database needs for its next pages."""
PATIENCE_SECONDS = 30.0
"""Seconds for which a disk may be full. Often an error of our own files ends the command sooner, in its own words."""


@contextmanager
def watched(home: Path) -> Iterator[None]:
    """End the process if the disk of ``home`` is full for :data:`PATIENCE_SECONDS` within this block."""
    over = threading.Event()
    threading.Thread(target=_watch, args=(home, over.wait), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(home: Path, over: Callable[[float], bool]) -> None:
    since = None
    while not over(_POLL_SECONDS):
        if not is_full(home):
            since = None
            continue
        since = since or time.monotonic()
        if time.monotonic() - since >= PATIENCE_SECONDS:
            end_at_once(
                f"bigfusion: {home}: No space left on device for Prefect's database; make room and run the same command"
                " again: what is finished is kept",
                1,
            )


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder takes no more pages, by trying: quotas and reserves are no free space."""
    probe = folder / f".room.{os.getpid()}.tmp"
    try:
        file = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, _NEEDED)
        finally:
            os.close(file)
    except OSError as error:
        return error.errno in _FULL
    finally:
        with suppress(OSError):
            probe.unlink()
    return False
