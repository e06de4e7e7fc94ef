"""File names that look the same but differ in their bytes: é as one character (NFC) or as e and an accent (NFD).

macOS and some archives write NFD, tables usually NFC. If no file has exactly the name in the table, the file whose name
looks the same is taken.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def on_disk(path: Path) -> Path:
    """An absolute path as the disk spells it; unchanged if there is no such file."""
    named = path.as_posix().removeprefix(path.anchor)
    return Path(path.anchor) / meet(Path(path.anchor), [named]).get(named, named)


def meet(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The ``paths`` (POSIX, below ``root``) that the disk spells otherwise, each with the disk's spelling."""

    @cache
    def names(folder: str) -> dict[str, list[str]]:
        """The names in a folder, by their composed form."""
        found: dict[str, list[str]] = {}
        try:
            for name in os.listdir(folder):  # noqa: PTH208 - names, not paths
                found.setdefault(unicodedata.normalize("NFC", name), []).append(name)
        except OSError:
            return {}
        return found

    def spelled(path: str) -> str | None:
        place = str(root)
        for part in path.split("/"):
            below = os.path.join(place, part)  # noqa: PTH118 - as pipeline.corpora.table: paths by the million
            if not os.path.lexists(below):
                alike = names(place).get(unicodedata.normalize("NFC", part), [])
                if len(alike) != 1:  # none, or two that look the same: we do not choose
                    return None
                below = os.path.join(place, alike[0])  # noqa: PTH118
            place = below
        return os.path.relpath(place, root)

    strange = [path for path in dict.fromkeys(paths) if not path.isascii()]
    found = {path: spelled(path) for path in strange if not (root / path).exists()}
    return {path: name for path, name in found.items() if name is not None and name != path}
