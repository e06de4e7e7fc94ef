"""Archives of a corpus that are not unpacked yet, and the commands that unpack them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bigfusion.pipeline.words import quoted

ARCHIVES = ("*.tar.gz", "*.tgz", "*.tar", "*.tar.bz2", "*.tar.xz", "*.zip")


def packed(root: Path) -> Iterator[Path]:
    """Archives in a folder without a folder beside them that bears their name (``train.tar.gz``, ``train_splits``)."""
    folders = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    for path in sorted(path for pattern in ARCHIVES for path in root.glob(pattern)):
        if not any(path.name.partition(".")[0] in name for name in folders):
            yield path


def unpack(archives: Sequence[Path]) -> str:
    """The commands that unpack archives where they lie, ready to be pasted."""
    return "unpack: " + " && ".join(map(_command, archives))


def _command(archive: Path) -> str:
    if archive.suffix == ".zip":
        return f"python3 -m zipfile -e {quoted(archive)} {quoted(archive.parent)}"
    return f"tar -xf {quoted(archive)} -C {quoted(archive.parent)}"
