"""Whether a transcript may be in another language than the texts that a model learnt from.

No language is named or guessed. In any language a few dozen words make up half of what is said, so the most frequent
words of the training texts should be frequent in a transcript of the same language. The check needs spaces between
words: of a language that writes none (Chinese, Japanese, Thai) only the script is compared. It cannot tell a text of
two languages, a transcript of a few words, or two languages that share their small words from one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache

from pydantic import BaseModel, ConfigDict

WORDS = 100
"""So many frequent words are kept."""
FEWEST = 20
"""Words, or letters of a language without spaces, below which nothing is said about a transcript."""
SHARE = 0.35
"""A transcript with less than this part of the training's own share of frequent words is of another language."""
_TYPICAL = 0.25
"""Below this share of frequent words the training texts have no spaces, or too few words, to go by words."""

_WORD = re.compile(r"[^\W\d_]+")


class Habits(BaseModel):
    """The most frequent words of some texts, the share of all words that they make up, and the scripts of letters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, ...] = ()
    share: float = 0.0
    scripts: dict[str, float] = {}


def habits(texts: Iterable[str]) -> Habits:
    """The habits of a corpus's transcripts."""
    words = Counter(word for text in texts for word in _words(text))
    frequent = [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:WORDS]]
    total = sum(words.values())
    return Habits(
        words=tuple(frequent),
        share=sum(words[word] for word in frequent) / max(total, 1),
        scripts=_scripts("".join(words.elements())),
    )


def foreign(texts: Sequence[str], known: Habits) -> str:
    """Why transcripts seem to be in another language than that of ``known``; ``""`` if they do not."""
    words = [word for text in texts for word in _words(text)]
    letters = "".join(words)
    if not known.words or len(letters) < FEWEST:
        return ""
    unknown = sum(share for name, share in _scripts(letters).items() if known.scripts.get(name, 0) < 0.01)
    if unknown > 0.5:
        return f"{100 * unknown:.0f} % of its letters are of a script that the training texts do not use"
    if known.share < _TYPICAL or len(words) < FEWEST:
        return ""
    share = sum(word in set(known.words) for word in words) / len(words)
    if share >= SHARE * known.share:
        return ""
    return (
        f"{100 * share:.0f} % of its words are among the {len(known.words)} most frequent of the training texts, where"
        f" they are {100 * known.share:.0f} %"
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _scripts(letters: str) -> dict[str, float]:
    """The share of letters of each script, by the first word of Unicode's names: ``latin``, ``cyrillic``, ``cjk``."""
    counts = Counter(_script(letter) for letter in letters)
    return {name: round(number / len(letters), 4) for name, number in sorted(counts.items())}


@cache
def _script(letter: str) -> str:
    return unicodedata.name(letter, "unknown").split()[0].lower()
