"""The shard folder: every operation on its files, and none elsewhere.

Layout: ``<folder>/<modality>/<shard>.parquet``; what fsck sets aside lies in ``<folder>/damaged/``, what each
workspace needs in ``<folder>/reach/``. A store somewhere
else than in a folder needs these few operations and nothing more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.atomic import PARTIAL, sync_folder, write_whole
from pipeline.schema import Modality
from pipeline.shards import is_shard, modality_of

DAMAGED, REACH = "damaged", "reach"


class ShardFolder:
    """Shards by name in one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, name: str) -> Path:
        """Where a shard lies."""
        return self.path / modality_of(name) / name

    def names(self) -> set[str]:
        """Every shard that is there."""
        return {name for folder in self._folders() for name in _listing(folder) if is_shard(name)}

    def read(self, name: str) -> bytes:
        """A shard's bytes, unverified.

        Raises:
            OSError: it cannot be read, or is not there.
        """
        return self.place(name).read_bytes()

    def write(self, name: str, payload: bytes) -> None:
        """Write a shard whole. One that is there under the same name holds the same bytes and is left as it is.

        Raises:
            OSError: it cannot be written; nothing of it is visible.
        """
        if not self.place(name).exists():
            write_whole(self.place(name), payload)

    def size(self, name: str) -> int:
        """A shard's bytes."""
        return self.place(name).stat().st_size

    def age(self, path: Path) -> float:
        """Seconds since a file was written; it may be gone meanwhile, which is as good as just written."""
        try:
            return time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def remove(self, paths: list[Path]) -> None:
        """Remove files of this folder, for good."""
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            sync_folder(folder)

    def set_aside(self, name: str) -> Path:
        """Take a damaged shard out of the store; its bytes stay in ``damaged/`` until gc removes them."""
        target = self.path / DAMAGED / name
        target.parent.mkdir(exist_ok=True)
        self.place(name).replace(target)
        os.utime(target)  # gc's grace begins now
        sync_folder(target.parent)
        sync_folder(self.place(name).parent)
        return target

    @property
    def claims(self) -> Path:
        """The file that claims on cells are locks in."""
        return self.path / "claims"

    def reach(self, workspace: str) -> Path:
        """Where a workspace says which cells it needs."""
        return self.path / REACH / f"{workspace}.cells"

    def reaches(self) -> list[Path]:
        """The lists of every workspace on this folder."""
        folder = self.path / REACH
        return sorted(folder / name for name in _listing(folder) if name.endswith(".cells")) if folder.is_dir() else []

    def leftovers(self) -> list[Path]:
        """Temporary files of writers that were killed (or are at work now)."""
        names = ((folder, name) for folder in self._folders() for name in _listing(folder))
        return sorted(folder / name for folder, name in names if name.startswith(".") and name.endswith(PARTIAL))

    def damaged(self) -> list[Path]:
        """What fsck has set aside."""
        folder = self.path / DAMAGED
        return sorted(folder / name for name in _listing(folder)) if folder.is_dir() else []

    def _folders(self) -> Iterator[Path]:
        return (folder for modality in Modality if (folder := self.path / modality).is_dir())


def _listing(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder)]
