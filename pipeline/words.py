"""Numbers, commands and the reasons of errors, in the words of a message."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path


def numbered(count: int, noun: str) -> str:
    """A number with its noun: ``1 chunk``, ``1,200 chunks``. Another plural than with s: ``class/classes``."""
    singular, _, plural = noun.partition("/")
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def tally(counts: Mapping[str, int]) -> str:
    """Cells by status: ``35 ok, 1 missing media, 1 silent``."""
    found = sorted(counts.items(), key=lambda item: (item[0] != "ok", -item[1], item[0]))
    return ", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in found) or "none"


def quoted(path: Path | str) -> str:
    """A path or another word of a command, as it can be pasted into a shell."""
    return shlex.quote(str(path))


UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003fffd]"
)
"""A character of Thai, Lao, Burmese, Khmer, Japanese kana or Chinese."""
_NO_WORD = re.compile(f"{UNSPACED.pattern}|[\u3000-\u303f\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]")
"""These characters and the punctuation between them."""


def word_count(text: str) -> int:
    """The words that spaces part, and the characters of scripts that put no spaces between words."""
    return len(UNSPACED.findall(text)) + len(_NO_WORD.sub(" ", text).split())


_ADVICE = re.compile(r"\s*For (?:further|more) information (?:visit|check):? \S+")
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_INPUT = re.compile(r" \[type=[^,\]]*, input_value=(.*?), input_type=\w+\]")


def reason(error: BaseException | str) -> str:
    """What an error says, in one line: without a library's links, and with what pydantic found in our own words."""
    text = _INPUT.sub(r", found \1", _NUMBER.sub("", _ADVICE.sub("", str(error)))).replace("Value error, ", "")
    return " ".join(text.split()) or type(error).__name__


def duration(seconds: float) -> str:
    """``under a second``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 1:
        return "under a second"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"
