"""Numbers and commands in the words of a message."""

from __future__ import annotations

import shlex
from pathlib import Path


def number(count: int, noun: str) -> str:
    """A number with its noun: ``1 chunk``, ``1,200 chunks``. Another plural than with s: ``class/classes``."""
    singular, _, plural = noun.partition("/")
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def quoted(path: Path | str) -> str:
    """A path or another word of a command, as it can be pasted into a shell."""
    return shlex.quote(str(path))
