"""The index's seal: a small file that holds the SHA-256 of the index's bytes while nothing of them is to change.

SQLite checks what it reads, and fsck compares every row with the shards, but a third of a file's bytes mean nothing to
either. With a seal every flipped bit is found. A seal lies there only while it holds: whoever writes into the index
removes it within the transaction, before anything is changed, and whoever leaves the index settled makes it anew. So a
process that was killed, or one that writes at this very moment, leaves no seal, and no seal is no damage.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from bigfusion.pipeline.atomic import sync_folder, write_whole

SUFFIX = "-seal"
_WORD = "bigfusion index seal"


def seal_of(index: Path) -> Path:
    """Where the seal of an index lies."""
    return index.with_name(index.name + SUFFIX)


def seal(index: Path) -> None:
    """Seal an index. The caller holds SQLite's write lock, and all that was written is in the file itself.

    Raises:
        OSError: the index cannot be read, or the seal cannot be written.
    """
    write_whole(seal_of(index), _text(_sha256(index)))


def unseal(index: Path) -> None:
    """Remove the seal, for good: it must not come back with a power failure. The caller holds SQLite's write lock.

    Raises:
        OSError: it is there and cannot be removed.
    """
    try:
        seal_of(index).unlink()
    except FileNotFoundError:
        return
    sync_folder(index.parent)


def broken(index: Path) -> str | None:
    """What is wrong between an index and its seal; ``None`` if they agree, or there is no seal.

    Takes no lock: a seal that is the same before and after the index was read stood all the while, and nothing was
    written.

    Raises:
        OSError: one of them cannot be read.
    """
    while (before := _content(index)) is not None:
        found = _sha256(index)
        if before != _content(index):
            continue  # somebody writes, or has written
        if before == _text(found):
            return None
        expected = before.decode("ascii", "replace").partition(" ")[0]
        if before != _text(expected):
            return "its seal is not what was written"
        return f"expected the sealed bytes (SHA-256 {expected[:12]}...), found {found[:12]}..."
    return None


def _content(index: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return seal_of(index).read_bytes()
    return None


def _text(sha256: str) -> bytes:
    check = hashlib.sha256(sha256.encode()).hexdigest()
    return f"{sha256} {check} {_WORD}\n".encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
