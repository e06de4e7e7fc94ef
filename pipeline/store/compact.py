"""Compaction of many small shards: cells of one corpus and extractor are copied into shards of about a megabyte.

Compaction only adds. The merged shard is complete before anything else changes. The small ones stay until ``bigfusion
gc`` finds that they hold nothing but copies. So a crash at any point leaves every cell readable, and machines that do
not know the merged shard yet can still read the old ones. Cells with frames become shards of their own. Their small
frames files are copied together in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.sequences import Frames
from bigfusion.pipeline.store.frames import BUDGET, FramesPlace, cells_of, framed, frames_files, pieces
from bigfusion.pipeline.store.shards import Cell, Origin, Shard, modality_of
from bigfusion.pipeline.store.store import Store, rank

TARGET = 2**20
"""The size of a shard in bytes. A shard is verified as a whole, and reading one of its cells must take at most five
milliseconds.
"""


@dataclass
class _Merged:
    """The cells that become one shard. Of several copies of a cell, only the one that counts."""

    names: list[str] = field(default_factory=list)
    bytes: int = 0
    origins: list[Origin] = field(default_factory=list)
    cells: dict[tuple[str, str], tuple[tuple[object, ...], Cell, int]] = field(default_factory=dict)

    def take(self, shard: Shard, size: int) -> None:
        self.names.append(shard.name)
        self.bytes += size
        first = len(self.origins)
        self.origins += shard.origins
        for cell, place in zip(cells_of(shard), shard.column("origin"), strict=True):
            order = rank(cell.status, shard.origins[place].created, 0, shard.name)
            key = (cell.fingerprint, cell.utterance)
            if key not in self.cells or order < self.cells[key][0]:
                self.cells[key] = (order, cell, first + place)


def compact(store: Store, target: int = TARGET, progress: Callable[[int], None] = lambda done: None) -> list[str]:
    """Merge shards smaller than half of ``target`` bytes. Returns the names of the new shards.

    Shards whose cells already lie in a larger shard are left for gc. The same shards give the same merged shard on
    every machine.

    Raises:
        DamagedShardError: one of them is damaged; ``bigfusion fsck`` finds all that are.
        StoreError: a shard cannot be written.
    """
    small = store.small(target // 2)
    groups: dict[str, _Merged] = {}
    written: list[str] = []
    for name, size in small:
        shard = store.shard(name)
        progress(1)
        origin = shard.origins[0]
        kind = digest(
            [
                origin.modality,
                origin.corpus,
                origin.extractor,
                origin.columns,
                shard.values.shape[1],
                bool(frames_files(shard)),
            ]
        )
        group = groups.setdefault(kind, _Merged())
        if group.bytes + size > target and group.names:
            written += _write(store, group)
            group = groups[kind] = _Merged()
        group.take(shard, size)
    for group in groups.values():
        written += _write(store, group)
    return written


def _write(store: Store, group: _Merged) -> Iterator[str]:
    if len(group.names) < 2:
        return
    kept = list(group.cells.values())
    used = sorted({place for _, _, place in kept})
    places = {place: at for at, place in enumerate(used)}
    yield store.add(
        [group.origins[place] for place in used],
        _repacked(store, [cell for _, cell, _ in kept]),
        [places[place] for _, _, place in kept],
    )


def _repacked(store: Store, cells: list[Cell]) -> list[Cell]:
    """The cells, with the frames of small files copied into fewer files of about :data:`BUDGET`."""
    at = {cell.fingerprint: place for cell in cells if (place := getattr(cell, "frames", None)) is not None}
    small = _small_files(store, {place.file for place in at.values()})
    moved: dict[str, FramesPlace] = {}
    for part in pieces(list(small.values())):
        names = [list(small)[number] for number in part]
        if len(names) > 1:
            moved |= _together(store, names, at)
    return [framed(cell, moved.get(cell.fingerprint, at.get(cell.fingerprint))) for cell in cells]


def _small_files(store: Store, names: set[str]) -> dict[str, int]:
    """The bytes of those frames files that are below half of the budget."""
    if not names:
        return {}
    try:
        entries = store.folder.entries(names)
    except OSError as error:
        raise StoreError(f"{store.folder}: the store cannot be read ({error.strerror})") from error
    return {entry.key.rpartition("/")[2]: entry.bytes for entry in entries if entry.bytes < BUDGET // 2}


def _together(store: Store, names: list[str], at: dict[str, FramesPlace]) -> dict[str, FramesPlace]:
    """One file with the frames of several; of each, only the rows that the cells name."""
    frames: dict[str, Frames] = {}
    for name in names:
        file = store.frames_file(name)
        frames |= {key: file.at(place, key) for key, place in at.items() if place.file == name}
    return store.add_frames(Modality(modality_of(names[0])), frames)
