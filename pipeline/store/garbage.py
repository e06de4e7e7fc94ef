"""What nothing needs any more in a store: copies of cells that lie elsewhere, and shards that no manifest or run
reaches. And frames files that no shard names.

The index proposes and the shards decide. A shard is removed only after it was read, verified and compared with what is
needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.store.folder import age
from bigfusion.pipeline.store.frames import frames_files, is_frames
from bigfusion.pipeline.store.objects import Entry
from bigfusion.pipeline.store.shards import Shard
from bigfusion.pipeline.store.store import Rank, Store, rank

log = logging.getLogger("bigfusion.store")

_KEPT_OPEN = 8
_UNNAMED = 3600.0
"""Seconds for which a frames file stays that no shard names, whatever the grace: its writer may be about to name it."""


@dataclass(frozen=True)
class Item:
    """An object of the shard folder that can be removed; ``why`` is ``copies``, ``unreached``, ``frames``, ``damaged``
    or ``leftover``.
    """

    key: str
    why: str
    bytes: int
    cells: int = 0

    @property
    def name(self) -> str:
        """The object's name in its folder."""
        return self.key.rpartition("/")[2]

    @property
    def is_shard(self) -> bool:
        """Whether the object holds cells that the index knows."""
        return self.why in ("copies", "unreached")


@dataclass(frozen=True)
class Garbage:
    """What can be removed, and the number of unneeded objects that are still too young."""

    items: list[Item]
    young: int


def find_garbage(store: Store, reached: Iterable[bytes], grace: float, now: float | None = None) -> Garbage:
    """What can be removed from ``store``, given the reached fingerprints. Nothing younger than ``grace`` seconds.

    ``now`` is the time by the store's own clock, if it is known; else this machine's clock counts.

    A shard is removed whole or stays whole: one reached cell keeps it. Of several copies of a cell, the one that
    :func:`rank` puts first is kept. The order is the same on every machine, so two machines can never each remove what
    the other keeps. If the index wrongly takes a shard for unneeded, it is built again.

    Raises:
        DamagedShardError: a shard that would be the only holder of a cell is damaged.
        StoreError: a shard cannot be read, or the folder cannot be listed.
    """
    wanted = frozenset(reached)
    try:
        garbage = _found(store, wanted, grace, now)
        if isinstance(garbage, str):
            store.rebuild(garbage)
            garbage = _found(store, wanted, grace, now)
    except OSError as error:
        raise StoreError(f"{store.folder}: the store cannot be read ({error.strerror})") from error
    if isinstance(garbage, str):
        raise StoreError(f"{store.folder}: {garbage}, and so does the index that was just built; nothing was removed")
    return garbage


def remove(store: Store, garbage: Garbage) -> None:
    """Remove the garbage. Frames files go last, and only those that no shard names then.

    Raises:
        StoreError: something could not be removed; the next search finds it again.
    """
    store.index.drop(item.name for item in garbage.items if item.is_shard)  # first, so that every indexed shard exists
    _remove(store, [item.key for item in garbage.items if item.why != "frames"])
    store.refresh()
    frames = [item for item in garbage.items if item.why == "frames"]
    if frames:
        named = _named(store, frozenset())
        _remove(store, [item.key for item in frames if item.name not in named])


def _remove(store: Store, keys: Sequence[str]) -> None:
    try:
        store.folder.remove(keys)
    except OSError as error:
        raise StoreError(
            f"{store.folder}: files could not be removed ({error.strerror}); correct the permissions and run the"
            " same command again"
        ) from error


def _found(store: Store, wanted: frozenset[bytes], grace: float, now: float | None) -> Garbage | str:
    """The garbage, or a sentence that says what is wrong in the index."""
    why = {name: (kind, cells) for name, _, cells, kind in store.unneeded(wanted)}
    entries = store.folder.entries(why)
    spare = [("damaged", entry) for entry in store.folder.damaged()]
    spare += [("leftover", entry) for entry in store.folder.leftovers()]
    doomed = [Item(entry.key, *_kind(why, entry)) for entry in entries if age(entry, now) >= grace]
    others = [Item(entry.key, kind, entry.bytes) for kind, entry in spare if age(entry, now) >= grace]
    wrong = _wrong(store, doomed, wanted)
    if isinstance(wrong, str):
        return wrong
    doomed = [item for item in doomed if item.name not in wrong]
    named = _named(store, frozenset())
    left = store.folder.entries(store.folder.frames() - _named(store, frozenset(item.name for item in doomed)))
    ripe = [entry for entry in left if age(entry) >= (grace if _name(entry) in named else max(grace, _UNNAMED))]
    frames = [Item(entry.key, "frames", entry.bytes) for entry in ripe if is_frames(_name(entry))]
    untold = _still_named(store, frames, frozenset(item.name for item in doomed))
    if isinstance(untold, str):
        return untold
    frames = [item for item in frames if item.name not in untold]
    young = len(entries) + len(spare) + len(left) - len(doomed) - len(wrong) - len(others) - len(frames) - len(untold)
    return Garbage([*doomed, *frames, *others], young)


def _named(store: Store, but: frozenset[str]) -> set[str]:
    """The frames files that the indexed shards name, those of the shards ``but`` left out."""
    return {file for shard, files in store.index.frames().items() if shard not in but for file in files}


def _still_named(store: Store, frames: Sequence[Item], doomed: frozenset[str]) -> set[str] | str:
    """Check the frames files that no shard names, by the index.

    Each is read, and so are the shards that hold its cells. Returns the names of those that could not be checked, or,
    if a shard names one, a sentence that says so.
    """
    read = lru_cache(_KEPT_OPEN)(lambda name: _shard(store, name))
    untold = set()
    for item in frames:
        try:
            keys = store.frames_file(item.name).fingerprints
        except DamagedShardError as error:
            log.warning("left where it is: %s", error)
            untold.add(item.name)
            continue
        holders = {name for (name,) in store.index.lookup("s.name", keys)} - doomed
        for shard in map(read, sorted(holders)):
            if shard is not None and item.name in frames_files(shard):
                return f"it takes {item.name} for unneeded, which {shard.name} names"
    return untold


def _name(entry: Entry) -> str:
    return entry.key.rpartition("/")[2]


def _kind(why: dict[str, tuple[str, int]], entry: Entry) -> tuple[str, int, int]:
    kind, cells = why[_name(entry)]
    return kind, entry.bytes, cells


def _wrong(store: Store, doomed: Sequence[Item], wanted: frozenset[bytes]) -> set[str] | str:
    """Check the shards that the index takes for unneeded.

    Returns the names of those that could not be checked, or, if one of them is needed, a sentence that says so.
    """
    copies = {item.name for item in doomed if item.why == "copies"}
    holders = {name: [other for other in store.sharing(name) if other not in copies] for name in sorted(copies)}
    ranks = lru_cache(_KEPT_OPEN)(lambda name: _ranks(store.shard(name)))
    untold = set()
    order = sorted(doomed, key=lambda item: holders.get(item.name, []))  # shards with equal holders are adjacent
    read = store.folder.ahead([item.name for item in order], lambda name: _shard(store, name))
    for item, (_, shard) in zip(order, read, strict=True):
        if shard is None:
            untold.add(item.name)
            continue
        if item.why == "unreached":
            if any(bytes.fromhex(key) in wanted for key in shard.fingerprints):
                return f"it takes {item.name} for unneeded, which holds cells that are needed"
            continue
        if _left(shard, holders[item.name], ranks):
            return f"it takes {item.name} for copies, which holds cells that no other shard has"
    return untold


def _shard(store: Store, name: str) -> Shard | None:
    """A shard that may be removed; ``None`` if it is already gone, or if it is damaged and fsck must handle it."""
    try:
        return store.shard(name)
    except FileNotFoundError:
        pass
    except DamagedShardError as error:
        log.warning("left where it is: %s", error)
    return None


def _left(
    shard: Shard, holders: Sequence[str], ranks: Callable[[str], dict[tuple[str, str], Rank]]
) -> dict[tuple[str, str], Rank]:
    """The cells of a shard for which no holder has a copy that ranks before this shard's."""
    left, damaged = _ranks(shard), None
    for holder in holders:
        try:
            held = ranks(holder)
        except FileNotFoundError:
            continue
        except DamagedShardError as error:
            damaged = error
            continue
        left = {cell: mine for cell, mine in left.items() if cell not in held or mine < held[cell]}
    if left and damaged is not None:
        raise damaged
    return left


def _ranks(shard: Shard) -> dict[tuple[str, str], Rank]:
    """The rank of each of a shard's cells among its copies, by fingerprint and utterance."""
    found: dict[tuple[str, str], Rank] = {}
    columns = (shard.column(name) for name in ("utterance", "status", "origin"))
    for key, utterance, status, origin in zip(shard.fingerprints, *columns, strict=True):
        mine = rank(status, shard.origins[origin].created, len(shard), shard.name)
        found[key, utterance] = min(found.get((key, utterance), mine), mine)
    return found
