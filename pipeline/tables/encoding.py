"""Bytes to text for the published corpora's annotation files, of unknown and mixed encoding: no line is lost.

MELD's mojibake is undone, and only MELD's: in a text of the user's own the same characters may be meant.
A user's own table is read by :mod:`bigfusion.pipeline.tables.charset`.

Corpora travelled through editors of every kind. What is met in them, often in one file: UTF-8, with or without a byte
order mark; cp1252 bytes (``\\x92`` for an apostrophe); cp1252 read as Latin-1 (``U+0092``); and UTF-8 read as cp1252
(``â€™``), once or twice over.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.nearest import beside

_UNDEFINED = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
_CHAR_OF = {byte: chr(byte) if byte in _UNDEFINED else bytes([byte]).decode("cp1252") for byte in range(0x80, 0x100)}
_BYTE_OF = {char: byte for byte, char in _CHAR_OF.items()} | {chr(byte): byte for byte in range(0x80, 0xA0)}

_STRAY_BYTE = re.compile("[\udc80-\udcff]")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_C1 = re.compile(r"[\x80-\x9f]")
_DOUBLE = re.compile(f"[Â-ô][{''.join(re.escape(char) for char, byte in _BYTE_OF.items() if byte < 0xC0)}]{{1,3}}")


def read(path: Path, *, mojibake: bool = True) -> str:
    """A text file, decoded as :func:`decode` does.

    Raises:
        CorpusError: it cannot be read.
    """
    try:
        return decode(path.read_bytes(), mojibake=mojibake)
    except FileNotFoundError:
        raise CorpusError(f"{path}: expected a text file, found no file of that name{beside(path)}") from None
    except OSError as error:
        raise CorpusError(
            f"{path}: expected a text file, found {error.strerror}; check the path and its rights"
        ) from None


def decode(data: bytes, *, mojibake: bool = True) -> str:
    """``data`` as text: UTF-8 if it is valid, otherwise cp1252 byte by byte; then :func:`repair`.

    Without ``mojibake`` only C1 controls are repaired.
    """
    text = cp1252(data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape"))
    return repair(text) if mojibake else without_controls(text)


def cp1252(text: str) -> str:
    """``text`` with its stray bytes (surrogate escapes) read as cp1252."""
    return _STRAY_BYTE.sub(lambda match: _CHAR_OF[ord(match[0]) - 0xDC00], text)


def repair(text: str) -> str:
    """``text`` without mojibake (for MELD) and without C1 controls, which are cp1252 in disguise or nothing.

    Only sequences that stand for a character of cp1252 itself are undone: ``â€™`` becomes an apostrophe, while
    ``é…”``, which also happens to be valid UTF-8 when read as bytes, stays unchanged.
    """
    for _ in range(3):
        undone = _DOUBLE.sub(_undo, text)
        if undone == text:
            break
        text = undone
    return without_controls(text)


def without_controls(text: str) -> str:
    """``text`` with each C1 control replaced by the cp1252 character that it stands for."""
    return _C1.sub(lambda match: "" if ord(match[0]) in _UNDEFINED else _CHAR_OF[ord(match[0])], text)


def plain(text: str) -> str:
    """``text`` on one line: control characters and line ends become spaces; the ends are stripped."""
    return _BREAKS.sub(" ", text).strip()


def _undo(match: re.Match[str]) -> str:
    """The start of a match, undone, if it is one character of cp1252 in UTF-8; otherwise the match unchanged."""
    found = match[0]
    data = bytes(_BYTE_OF[char] for char in found)
    for length in range(2, len(data) + 1):
        try:
            char = data[:length].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if char in _BYTE_OF:
            return char + found[length:]
    return found
