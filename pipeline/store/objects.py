"""Where a store's files lie: whole objects by key. A local folder is here, a bucket in :mod:`store.bucket`.

A key is a folder and a name, ``audio/x.parquet``. An object appears whole or not at all, and never changes under its
key. The exceptions are a few small objects, which are rewritten as a whole. Every failure is an :class:`OSError` whose
``strerror`` says what is wrong. A missing object is a :class:`FileNotFoundError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from bigfusion.pipeline.atomic import sync_folder, write_whole


class Entry(NamedTuple):
    """An object: its key, its size in bytes, and the time of writing, in seconds since the epoch."""

    key: str
    bytes: int
    modified: float


class Objects(Protocol):
    """The few operations that a store needs from its place. ``readers``: how many reads may run side by side."""

    readers: int

    def there(self) -> bool:
        """Whether the place itself exists."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder; empty if there is no such folder."""

    def entries(self, folder: str) -> list[Entry]:
        """The objects in a folder."""

    def read(self, key: str) -> bytes:
        """An object's bytes."""

    def write(self, key: str, payload: bytes) -> None:
        """Write an object, whole or not at all."""

    def move(self, key: str, target: str) -> None:
        """Give an object another key; it then counts as just written."""

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects for good. An object that is already gone is no error."""

    def shown(self, key: str) -> str:
        """Where an object lies, in the form that a person would look for."""


class LocalFolder:
    """Objects as the files of one folder, local or on a network mount."""

    readers = 4

    def __init__(self, path: Path) -> None:
        self.path = path

    def there(self) -> bool:
        """Whether the folder exists."""
        return self.path.is_dir()

    def names(self, folder: str) -> list[str]:
        """The names in a folder; empty if there is no such folder."""
        try:
            with os.scandir(self.path / folder) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def entries(self, folder: str) -> list[Entry]:
        """The files in a folder. Files that vanish meanwhile are left out."""
        found = []
        for name in sorted(self.names(folder)):
            try:
                stat = (self.path / folder / name).stat()
            except FileNotFoundError:
                continue
            found.append(Entry(f"{folder}/{name}", stat.st_size, stat.st_mtime))
        return found

    def read(self, key: str) -> bytes:
        """A file's bytes."""
        return (self.path / key).read_bytes()

    def write(self, key: str, payload: bytes) -> None:
        """Write a file so that a reader, or a kill at any moment, sees all of it or nothing."""
        write_whole(self.path / key, payload)

    def move(self, key: str, target: str) -> None:
        """Rename a file, which then counts as just written."""
        place = self.path / target
        place.parent.mkdir(exist_ok=True)
        (self.path / key).replace(place)
        os.utime(place)
        for folder in (place.parent, (self.path / key).parent):
            sync_folder(folder)

    def remove(self, keys: Iterable[str]) -> None:
        """Remove files."""
        folders = set()
        for key in keys:
            (self.path / key).unlink(missing_ok=True)
            folders.add((self.path / key).parent)
        for folder in folders:
            sync_folder(folder)

    def shown(self, key: str) -> str:
        """The file's path."""
        return str(self.path / key)
