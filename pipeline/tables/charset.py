"""The text of a user's table, in the encoding that the settings name, or else in one that the bytes prove.

Bytes prove UTF-8 (nothing else is valid UTF-8 by chance); UTF-16 and UTF-32 by their mark; UTF-16 without a mark by the
zeros beside its separators; and English text in cp1252 by its contractions. Any other text is refused. The message says
which encoding the file seems to have and which setting to write.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.nearest import beside
from bigfusion.pipeline.tables.encoding import cp1252
from bigfusion.pipeline.tables.guess import guesses

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, because its mark begins with that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks."""

_BEYOND_CHANCE = 8
"""One in eight GBK characters is also valid UTF-8. So this many of them in a row happen by chance once in ten million
times.
"""

_PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b")
"""The first bytes of spreadsheets and packed files."""

_ESCAPES = re.compile(rb"\x1b(\$[@AB]|\$[()][A-Z]|\([BIJ])")
_SEPARATORS = re.compile(r"[,;|\t]")

_STRAY = "\udc80-\udcff"
_PUNCTUATION = "\udc85\udc91-\udc94\udc96\udc97"  # dots, quotation marks, dashes
_ENGLISH = re.compile(
    "\\b(i|you|he|she|it|we|they|that|there|what|who|where|how|here|let|don|doesn|didn|can|couldn|won|wouldn|shouldn"
    "|isn|aren|wasn|weren|haven|hasn|hadn|ain)\udc92(s|t|m|d|re|ve|ll)\\b",
    re.IGNORECASE,
)
_OTHER_STRAY = re.compile(f"[{_STRAY}]{{4,}}|(?![{_PUNCTUATION}\udce9])[{_STRAY}]")  # \udce9: é


def read_text(path: Path, encoding: str = "") -> str:
    """A table's text; ``encoding`` is from the settings, ``""`` if they name none.

    Raises:
        CorpusError: the file cannot be read, is not in ``encoding``, or its encoding cannot be recognised.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: expected a text file, found no file of that name{beside(path)}") from None
    except OSError as error:
        raise CorpusError(
            f"{path}: expected a text file, found {error.strerror}; check the path and its rights"
        ) from None
    if data.startswith(_PACKED):
        raise CorpusError(f"{path}: expected text, found a spreadsheet or a packed file; save the sheet as CSV (UTF-8)")
    marked = next((name for mark, name in MARKS.items() if data.startswith(mark)), "")
    if encoding and marked and not _same(encoding, marked):
        raise CorpusError(
            f'{path}: expected {encoding} (corpus.encoding), found the mark of {marked}; write corpus.encoding = ""'
        )
    if encoding and not encoding.startswith("utf") and _is_utf8(data):
        raise CorpusError(
            f'{path}: expected {encoding} (corpus.encoding), found valid UTF-8; write corpus.encoding = ""'
        )
    if encoding or marked:
        return _strict(path, data, encoding or marked)
    return _utf16(data) or _utf8(path, data)


def _same(encoding: str, marked: str) -> bool:
    """Whether text in ``encoding`` may begin with the mark of ``marked``, as utf-16-le with that of utf-16."""
    return codecs.lookup(encoding).name.startswith(codecs.lookup(marked).name)


def _is_utf8(data: bytes) -> bool:
    """Whether the bytes are certainly UTF-8: valid, with more multi-byte characters than chance would produce."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return not text.isascii() and sum(not char.isascii() for char in text) >= _BEYOND_CHANCE


def _strict(path: Path, data: bytes, encoding: str) -> str:
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = 1 + data.count(b"\n", 0, start)
        raise CorpusError(
            f"{path}: expected {encoding}, found {data[start : start + 4].hex(' ')} in line {line}; "
            "set corpus.encoding to what the file is in, or save it as UTF-8"
        ) from None
    return text.removeprefix("\ufeff")


def _utf16(data: bytes) -> str:
    """The text of UTF-16 without a mark, or ``""``. Such a text has separators and line ends, and no zeros."""
    head = data[:1000]  # part of it is the table's header, which has separators at least
    low, high = head[0::2].count(0), head[1::2].count(0)
    if low + high < len(head) / 50:
        return ""
    try:
        text = data.decode("utf-16-le" if high > low else "utf-16-be")
    except UnicodeDecodeError:
        return ""
    names, end, _ = text.replace("\r", "\n").partition("\n")
    return text if end and "\0" not in text and _SEPARATORS.search(names) else ""


def _utf8(path: Path, data: bytes) -> str:
    if data[:1000].count(0) > len(data[:1000]) / 10:
        raise CorpusError(
            f"{path}: expected UTF-8, found zeros as in UTF-16 without its mark or in a damaged file; "
            'write corpus.encoding = "utf-16-le" (or "utf-16-be"), or save the table as UTF-8'
        )
    if found := _ESCAPES.search(data):
        raise CorpusError(
            f"{path}: expected UTF-8, found the escape {found[0]!r} of ISO 2022; "
            'write corpus.encoding = "iso2022_jp" (or iso2022_kr), or save the table as UTF-8'
        )
    text = data.decode("utf-8", "surrogateescape")
    stray = re.search(f"[{_STRAY}]", text)
    if stray is None:
        return text
    if _ENGLISH.search(text) and not _OTHER_STRAY.search(text):
        return cp1252(text)
    line = 1 + text.count("\n", 0, stray.start())
    found_here = f"{path}: expected UTF-8, found byte 0x{ord(stray[0]) - 0xDC00:02x} in line {line}"
    likely = guesses(data)
    if not likely:
        raise CorpusError(f"{found_here}; set corpus.encoding to what the file is in, or save it as UTF-8")
    first, *others = [f"{guess.encoding} ({guess.sample!r})" for guess in likely]
    raise CorpusError(
        f"{found_here}; it seems to be {first}{', or ' if others else ''}{' or '.join(others)}: write "
        f'corpus.encoding = "{likely[0].encoding}" (or the one that reads right), or save the table as UTF-8'
    )
