"""What of a store nothing needs: copies of cells that lie elsewhere, and shards that no manifest and no run reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.store import Store


@dataclass(frozen=True)
class Item:
    """A file that can go: ``why`` is ``copies``, ``unreached``, ``damaged`` or ``leftover``."""

    path: Path
    why: str
    bytes: int
    cells: int = 0


@dataclass(frozen=True)
class Garbage:
    """Files that can go, and how many that nothing needs are too young to."""

    items: list[Item]
    young: int


def find_garbage(store: Store, reached: Iterable[bytes], grace: float) -> Garbage:
    """What can go from ``store``, given the fingerprints that are reached; nothing younger than ``grace`` seconds.

    A shard goes whole or stays whole: one reached cell keeps it. Of several copies of a cell the one that
    :func:`pipeline.store.rank` puts first is kept; the order is the same on every machine, so no two of them can each
    remove what the other keeps.
    """
    folder = store.folder
    items = []
    young = 0
    for name, size, cells, why in store.unneeded(reached):
        items.append(Item(folder.place(name), why, size, cells))
    items += [Item(path, "damaged", path.stat().st_size) for path in folder.damaged()]
    items += [Item(path, "leftover", path.stat().st_size) for path in folder.leftovers()]
    old = [item for item in items if folder.age(item.path) >= grace]
    young = len(items) - len(old)
    return Garbage(old, young)


def remove(store: Store, garbage: Garbage) -> None:
    """Remove the files. What the copies are copies of is verified first.

    Raises:
        DamagedShardError: a shard that would be the only holder of a cell is damaged; nothing was removed.
        StoreError: one of them cannot be read.
    """
    copies = [item.path.name for item in garbage.items if item.why == "copies"]
    for name in store.keepers(copies):
        store.shard(name)
    shards = [item.path.name for item in garbage.items if item.why in ("copies", "unreached")]
    store.index.drop(shards)  # first: what the index knows is there
    store.folder.remove([item.path for item in garbage.items])
    store.refresh()
