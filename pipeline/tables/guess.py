"""The likely encoding of a text that is not UTF-8. It is advice for an error message, never a decision."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

COMMON = (
    "cp1252", "gb18030", "cp932", "cp1251", "cp1250", "euc_kr", "big5", "cp1256", "cp1254", "cp1253", "cp1255", "cp874",
    "cp1257", "cp1258", "euc_jp", "koi8_r", "iso8859_2", "mac_roman", "cp850", "cp437", "cp949",
)  # fmt: skip
"""Encodings other than Unicode's in which office programs and editors save text, the more usual ones first."""

_CORES = {"gb18030": "gb2312", "cp949": "euc_kr"}
"""For encodings in which nearly every pair of bytes is valid: the older encoding that holds the characters in daily
use.
"""

_JAPANESE = ("cp932", "euc_jp")
_LATIN_ELSEWHERE = ("cp1250", "cp1254", "cp1257", "cp1258", "iso8859_2")
_LONGEST = 20_000
_SHOWN = 24
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Guess:
    """An encoding that the bytes may have, and a piece of them decoded with it."""

    encoding: str
    sample: str


def guesses(data: bytes, number: int = 3) -> list[Guess]:
    """The likeliest encodings of ``data``, best first; empty if no common one fits.

    charset-normalizer ranks them by its knowledge of languages. It often finds several equally good, because a table's
    text is short. Then the encoding wins whose words look most like words: one script, no capitals or signs inside.
    """
    from charset_normalizer import from_bytes  # takes 30 ms, which a table in UTF-8 does not need

    lines = [line for line in re.split(rb"[\r\n]+", data) if not line.isascii()]
    telling = b"\n".join(lines)[:_LONGEST]
    telling = telling[: telling.rfind(b"\n")] if len(telling) == _LONGEST and b"\n" in telling else telling
    readings = {name: text for name in COMMON if (text := _decoded(telling, name)) is not None}
    matches = from_bytes(telling, cp_isolation=list(readings)) if readings else ()
    mess = {
        name: (round(match.chaos, 2), -round(match.coherence, 1))
        for match in matches
        for name in match.could_be_from_charset
    }
    # sorted() is stable: among equally good ones, the more usual comes first
    order = sorted(readings, key=lambda name: (_oddity(readings[name], name), mess.get(name, (1.0, 0.0))))
    return [Guess(name, _sample(readings[name])) for name in order[:number]]


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _sample(text: str) -> str:
    """The first cell that is not ASCII, or its beginning."""
    cells = re.split(r"[,;\t|\n\"]", text)
    return next((cell.strip()[:_SHOWN] for cell in cells if not cell.isascii()), "")


def _oddity(text: str, encoding: str) -> float:
    """How little ``text`` looks like words, for each character that is not ASCII."""
    strange = [char for char in text if not char.isascii()]
    odd = sum(_strange(char) for char in strange)
    core = _CORES.get(encoding)
    odd += sum(not char.encode(core, "ignore") for char in strange) if core else 0
    for word in _WORD.findall(text):
        if not word.isascii():
            odd += sum(a.islower() and b.isupper() for a, b in pairwise(word))
            odd += len({script for char in word if (script := _script(char))}) - 1
    return round(odd / max(len(strange), 1) + _bias(text, encoding), 2)


def _bias(text: str, encoding: str) -> float:
    """What favours or disfavours an encoding besides its words: hiragana is Japanese; western letters are usual."""
    if any("\u3041" <= char <= "\u3096" for char in text):
        return -0.5 if encoding in _JAPANESE else 1
    return 0.05 if encoding in _LATIN_ELSEWHERE else 0


def _strange(char: str) -> float:
    """0 for letters and the usual quotation marks, dashes and spaces; more for signs, most for controls."""
    kind = unicodedata.category(char)
    if _is_halfwidth(char):  # half-width katakana of old terminals
        return 1
    if kind[0] in "LM" or char in "‘’“”„«»–—…¿¡、。，！？：；（）「」・　؟،":
        return 0
    return 3 if kind[0] == "C" else 1


def _is_halfwidth(char: str) -> bool:
    return "\uff61" <= char <= "\uff9f"


def _script(char: str) -> str:
    """The first word of a letter's name: LATIN, CYRILLIC, HEBREW; Chinese and Japanese letters count as one script."""
    name = unicodedata.name(char, "").partition(" ")[0]
    return "CJK" if name in ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL") else name
