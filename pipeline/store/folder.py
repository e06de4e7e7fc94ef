"""The shard folder: the objects that a store consists of, and every operation on them.

Layout: ``<folder>/<modality>/<shard>.parquet``; frames of cells in ``<folder>/frames/``. What fsck sets aside is in
``<folder>/damaged/``; the needs of each workspace are in ``<folder>/reach/``. The folder is a local folder, a network
mount, or a bucket.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bigfusion.pipeline.atomic import PARTIAL
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store.bucket import Bucket
from bigfusion.pipeline.store.cache import ShardCache
from bigfusion.pipeline.store.claims import Claims
from bigfusion.pipeline.store.frames import FOLDER as FRAMES
from bigfusion.pipeline.store.frames import is_frames
from bigfusion.pipeline.store.leases import Leases
from bigfusion.pipeline.store.objects import Entry, LocalFolder, Objects
from bigfusion.pipeline.store.shards import is_shard, is_sound, modality_of

Place = Path | str
"""A folder's path, or a bucket's address as :func:`address` returns it."""
R = TypeVar("R")
_AHEAD = 16
DAMAGED, REACH = "damaged", "reach"


class ShardFolder:
    """Shards by name in one folder. Every failure is an :class:`OSError`."""

    def __init__(self, place: Place, cache: ShardCache | None = None) -> None:
        self.place = place
        self.objects: Objects = Bucket(place) if isinstance(place, str) else LocalFolder(place)
        self._cache = cache if isinstance(place, str) else None

    def there(self) -> bool:
        """Whether the folder itself exists."""
        return self.objects.there()

    def __str__(self) -> str:
        return self.objects.shown("").rstrip("/") or "/"

    def shown(self, name: str) -> str:
        """Where a shard lies, in the form that a person would look for."""
        return self.objects.shown(_key(name))

    def names(self) -> set[str]:
        """The names of all shards in the folder."""
        return {name for modality in Modality for name in self.objects.names(modality.value) if is_shard(name)}

    def read(self, name: str) -> bytes:
        """The bytes of a shard or a frames file, unverified. A bucket's shard comes from this machine's copy if there
        is one.

        Raises:
            OSError: it cannot be read, or is not there.
        """
        if self._cache is None or is_frames(name):
            return self.objects.read(_key(name))
        payload = self._cache.read(name)
        if payload is None:
            payload = self.objects.read(_key(name))
            if is_sound(name, payload):
                self._cache.keep(name, payload)
        return payload

    def frames(self) -> set[str]:
        """The names of all frames files in the folder."""
        return {name for name in self.objects.names(FRAMES) if is_frames(name)}

    def ahead(self, names: Sequence[str], work: Callable[[str], R], together: int = _AHEAD) -> Iterator[tuple[str, R]]:
        """Run ``work`` on each file, in order, a few ahead: reading and hashing release the GIL."""
        if len(names) == 1:
            yield names[0], work(names[0])
            return
        pool, left = ThreadPoolExecutor(min(self.objects.readers, together)), False
        try:
            for start in range(0, len(names), together):
                part = names[start : start + together]
                yield from zip(part, pool.map(work, part), strict=True)
        except GeneratorExit:
            left = True
            raise
        finally:  # whoever collects what was left may be one of the threads, which cannot wait for itself
            pool.shutdown(wait=not left, cancel_futures=left)

    def write(self, name: str, payload: bytes) -> None:
        """Write a whole shard. If a shard with the same name and the same bytes is there, it is left unchanged.

        Raises:
            OSError: it cannot be written; nothing of it is visible.
        """
        if isinstance(self.objects, LocalFolder) and not is_frames(name):  # a frames file then counts as just written
            with contextlib.suppress(OSError):  # missing or unreadable: writing will show
                if self.objects.read(_key(name)) == payload:
                    return
        self.objects.write(_key(name), payload)
        if self._cache is not None and not is_frames(name):
            self._cache.keep(name, payload)

    def entries(self, names: Iterable[str]) -> list[Entry]:
        """The entries (size and time) of those named shards and frames files that exist."""
        wanted = {_key(name) for name in names}
        folders = [*Modality, FRAMES] if any(key.startswith(f"{FRAMES}/") for key in wanted) else [*Modality]
        return [entry for folder in folders for entry in self.objects.entries(folder) if entry.key in wanted]

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects of this folder, by key, for good."""
        self.objects.remove(keys)

    def set_aside(self, name: str) -> str:
        """Take a damaged shard or frames file out of the store. Its bytes stay in ``damaged/`` until gc removes them.

        Returns its new place. gc's grace period begins now.
        """
        target = f"{DAMAGED}/{name}"
        self.objects.move(_key(name), target)
        return self.objects.shown(target)

    def claims(self) -> Claims | Leases:
        """Claims on cells of this folder. The caller closes them."""
        if isinstance(self.place, str):
            return Leases(self.objects)
        return Claims(self.place / "claims")

    def published(self, workspace: str) -> bytes:
        """The list that a workspace has published; empty if there is none."""
        try:
            return self.objects.read(f"{REACH}/{workspace}.cells")
        except FileNotFoundError:
            return b""

    def publish(self, workspace: str, needs: bytes) -> None:
        """Publish the list of the cells that a workspace needs. It replaces the workspace's earlier list."""
        self.objects.write(f"{REACH}/{workspace}.cells", needs)

    def published_at(self, workspace: str) -> float | None:
        """When a workspace last published its list, by the store's own clock; ``None`` if it has no list."""
        key = f"{REACH}/{workspace}.cells"
        return next((entry.modified for entry in self.objects.entries(REACH) if entry.key == key), None)

    def needs(self, but: str = "") -> Iterator[tuple[str, bytes]]:
        """The lists of all workspaces on this folder (or of all others): the place and the bytes of each."""
        for name in sorted(self.objects.names(REACH)):
            if name.endswith(".cells") and name != f"{but}.cells":
                key = f"{REACH}/{name}"
                yield self.objects.shown(key), self.objects.read(key)

    def leftovers(self) -> list[Entry]:
        """Temporary files of writers that were killed, or that are writing now."""
        entries = (entry for folder in (*Modality, FRAMES, REACH) for entry in self.objects.entries(folder))
        return [entry for entry in entries if _name(entry.key).startswith(".") and entry.key.endswith(PARTIAL)]

    def damaged(self) -> list[Entry]:
        """The shards that fsck has set aside."""
        return self.objects.entries(DAMAGED)


def age(entry: Entry, now: float | None = None) -> float:
    """Seconds since an object was written. ``now`` is the store's own clock, if it is known."""
    return (time.time() if now is None else now) - entry.modified


def _key(name: str) -> str:
    if is_frames(name):
        return f"{FRAMES}/{name}"
    return f"{modality_of(name)}/{name}"


def _name(key: str) -> str:
    return key.rpartition("/")[2]
