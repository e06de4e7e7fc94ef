"""The known word that is nearest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error's line, ``; did you mean 'plan'?``; empty if no word is near."""
    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def beside(path: Path) -> str:
    """The same for a file that is not there, with the names in its folder; or that there is no such folder."""
    try:
        return did_you_mean(path.name, [other.name for other in path.parent.iterdir()]) or "; correct the path"
    except OSError:
        return f"; there is no folder {path.parent} either: correct the path"
