"""The index's seal: a small file with the SHA-256 of the index's bytes, valid while nothing in the index changes.

SQLite checks what it reads, and fsck compares every row with the shards. But a third of the file's bytes mean nothing
to either. The seal reveals every flipped bit. A seal exists only while it is valid: a writer removes it inside its
transaction, before it changes anything, and the process that leaves the index settled makes it anew. So a killed
process, or one that is writing now, leaves no seal. A missing seal is therefore no damage.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from bigfusion.pipeline.atomic import sync_folder, write_whole

SUFFIX = "-seal"
_WORD = "bigfusion index seal"


def seal_of(index: Path) -> Path:
    """The path of an index's seal."""
    return index.with_name(index.name + SUFFIX)


def seal(index: Path) -> None:
    """Seal an index. The caller holds SQLite's write lock, and everything written is in the file itself.

    Raises:
        OSError: the index cannot be read, or the seal cannot be written.
    """
    write_whole(seal_of(index), _text(_sha256(index)))


def unseal(index: Path) -> None:
    """Remove the seal durably: it must not come back after a power failure. The caller holds SQLite's write lock.

    Raises:
        OSError: it is there and cannot be removed.
    """
    try:
        seal_of(index).unlink()
    except FileNotFoundError:
        return
    sync_folder(index.parent)


def broken(index: Path) -> str | None:
    """What is wrong between an index and its seal; ``None`` if they agree or there is no seal.

    Takes no lock. If the seal is the same before and after the index was read, it existed all the time and nothing was
    written.

    Raises:
        OSError: one of them cannot be read.
    """
    while (before := _content(index)) is not None:
        found = _sha256(index)
        if before != _content(index):
            continue  # another process is writing, or has written
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
