"""The feature store: immutable shards are the truth; an SQLite index on each machine is a cache of them.

A cell is found by its fingerprint; equal transcripts share one. :meth:`Store.refresh` brings the index up to date from
the shards' content, so the index may be deleted at any time. Many processes on many machines may write into one shard
folder: shards are named after their content, and of several copies of a cell any copy that is not a failure is good.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.sequences import Frames
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.cache import ShardCache
from bigfusion.pipeline.store.folder import Place, ShardFolder
from bigfusion.pipeline.store.frames import FramesFile, FramesPlace, decode_frames, encode_frames, framed, places
from bigfusion.pipeline.store.index import DamagedIndexError, Index
from bigfusion.pipeline.store.shards import Cell, Origin, Shard

log = logging.getLogger("bigfusion.store")

P = ParamSpec("P")
R = TypeVar("R")
Rank = tuple[bool, str, int, str]
_COUNTING = """
SELECT shard FROM (
    SELECT c.shard, row_number() OVER (
        PARTITION BY c.fingerprint, c.utterance ORDER BY c.status <> 'ok', o.created, -s.cells, s.name) AS place
    FROM cells c JOIN shards s ON s.id = c.shard JOIN origins o ON o.id = c.origin)
WHERE place = 1
"""  # the shards that hold a copy that counts, in the order of `rank`
IMPORTED = "imported"
"""The name of the extractor that reads a feature file."""
CACHE = 20 * 2**30
"""Bytes of a bucket's shards that are cached on a machine."""


@dataclass(frozen=True)
class Record:
    """A stored cell without its vector, and the shard that holds it.

    ``reason`` says why a cell is not ``ok``; ``note`` says what was decided on the way to a cell that is.
    """

    fingerprint: str
    utterance: str
    status: Status
    reason: str
    input: dict[str, Any]
    extractor: dict[str, Any]
    run: str
    created: str
    versions: dict[str, str]
    shard: str
    note: str = ""


class Features(NamedTuple):
    """Features in the order of the request.

    Shapes: ``values`` (n, F) float32, zeros where absent; ``present`` (n,) bool.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


def _mending(method: Callable[Concatenate[Store, P], R]) -> Callable[Concatenate[Store, P], R]:
    """Run a method of the store. If the index is found damaged, build it again and run the method once more."""

    @wraps(method)
    def mended(self: Store, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except DamagedIndexError as error:
            self.rebuild(str(error))
            return method(self, *args, **kwargs)

    return mended


class Store:
    """Shards under ``folder/<modality>/`` and their index at ``index`` (by default ``folder/index.sqlite``).

    If machines share the folder, or if it is a bucket, give each machine its own ``index``: SQLite's locks do not work
    over a network file system. Copies of a bucket's shards are kept beside the index, at most ``cache`` bytes.
    """

    def __init__(self, folder: Place, index: Path | None = None, cache: int = CACHE) -> None:
        if index is None:
            if isinstance(folder, str):
                raise StoreError(f"{folder}: expected a place for the index of a bucket on this machine, found none")
            index = folder / "index.sqlite"
        self.folder = ShardFolder(folder, ShardCache(index.parent / "shards", cache))
        self._path = index
        try:
            self.index = Index(self._path)
        except DamagedIndexError as error:
            self.rebuild(str(error))
        self.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self, settle: bool = True) -> None:
        """Close the index.

        It is sealed (:mod:`store.seal`) unless another process uses it, or more is to be written soon.
        """
        if settle:
            self.index.settle()
        self.index.close()

    def rebuild(self, reason: str) -> None:
        """Delete the index and build it from the shards."""
        log.warning("%s is not what the shards say (%s): built again from the shards", self._path, reason)
        if hasattr(self, "index"):
            self.index.close()
        Index.forget(self._path)
        self.index = Index(self._path, anew=True)
        self.refresh()

    # Writing

    def commit(self, origin: Origin, cells: Sequence[Cell]) -> str:
        """Store ``cells`` as one shard, then index them. Returns the shard's name.

        Raises:
            StoreError: the shard could not be written; nothing of it is visible.
        """
        return self.add([origin], cells)

    @_mending
    def add(self, origins: Sequence[Origin], cells: Sequence[Cell], origin_of: Sequence[int] | None = None) -> str:
        """Store cells of one or several origins as one shard, as :meth:`commit` does."""
        name, payload = shards.encode(origins, cells, origin_of)
        self._write(name, payload)
        self.index.add(shards.decode(name, payload), len(payload))
        return name

    def commit_framed(self, origin: Origin, cells: Sequence[Cell], frames: Mapping[str, Frames]) -> str:
        """Store ``cells`` as one shard, and the frames of some, by fingerprint, as one file beside it.

        The file is written first. If the writer dies in between, nothing names the file, and gc removes it.

        Raises:
            StoreError: a file could not be written; no cell of it is visible.
        """
        if not frames:
            return self.commit(origin, cells)
        kept = self.add_frames(origin.modality, frames)
        return self.commit(origin, [framed(cell, kept.get(cell.fingerprint)) for cell in cells])

    def add_frames(self, modality: Modality, frames: Mapping[str, Frames]) -> dict[str, FramesPlace]:
        """Write frames as one file. Returns their places. Until a shard names the file, nothing keeps it from gc."""
        file, payload = encode_frames(modality, frames)
        self._write(file, payload)
        return {key: FramesPlace(file, row, len(one.values)) for row, (key, one) in enumerate(frames.items())}

    def _write(self, name: str, payload: bytes) -> None:
        try:
            self.folder.write(name, payload)
        except OSError as error:
            raise StoreError(
                f"{self.folder.shown(name)}: the shard could not be written ({error.strerror or error}); nothing of"
                " it is visible: make room or correct the permissions and run the same command again"
            ) from error

    @_mending
    def refresh(self) -> None:
        """Bring the index up to date: read what other writers have added, drop what is gone from the folder.

        A damaged shard is named in a warning and left out, so its cells count as new.

        Raises:
            FormatError: a newer version of bigfusion wrote a shard. To leave it out would compute its cells again.
            StoreError: the store cannot be read.
        """
        try:
            present, indexed = self.folder.names(), self.index.names()
            if indexed and not present and not self.folder.there():
                raise StoreError(
                    f"{self.folder}: expected the store, found nothing there, while {self._path} knows"
                    f" {len(indexed)} shards of it: mount it, correct workspace.store, or delete that index to begin"
                    " anew"
                )
        except OSError as error:
            raise StoreError(f"{self.folder}: the store cannot be read ({error.strerror})") from error
        if gone := indexed - present:
            self.index.drop(sorted(gone))
        for _, fetched in self.folder.ahead(sorted(present - indexed), self._fetched):
            if isinstance(fetched, DamagedShardError):
                _warn_once(str(fetched))
            elif fetched is not None:
                self.index.add(*fetched)

    def _fetched(self, name: str) -> tuple[Shard, int] | DamagedShardError | None:
        """A shard and its bytes; ``None`` if another process has removed it meanwhile."""
        try:
            payload = self._payload(name)
        except FileNotFoundError:
            return None
        try:
            return shards.decode(name, payload), len(payload)
        except DamagedShardError as error:
            shards.check_newer(name, payload)
            return error

    # Reading

    def shard(self, name: str) -> Shard:
        """A shard, read and verified.

        Raises:
            DamagedShardError: its bytes are not those that its name says.
            FileNotFoundError: it is not there.
            StoreError: it cannot be read.
        """
        return shards.decode(name, self._payload(name))

    def _payload(self, name: str) -> bytes:
        try:
            return self.folder.read(name)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreError(f"{self.folder.shown(name)}: the shard cannot be read ({error.strerror})") from error

    @_mending
    def statuses(self, fingerprints: Iterable[str]) -> dict[str, Status]:
        """The status of the cells that are stored, by fingerprint."""
        return {key: status for key, (status, _) in self._outcomes(fingerprints).items()}

    @_mending
    def failures(self, fingerprints: Iterable[str]) -> dict[str, tuple[Status, str]]:
        """Status and reason of the cells that are stored as failures, by fingerprint."""
        return {key: found for key, found in self._outcomes(fingerprints).items() if found[0] is not Status.OK}

    @_mending
    def notes(self, modality: Modality) -> dict[bytes, str]:
        """The notes of a modality's cells, by fingerprint, for the cells that have one."""
        query = """
            SELECT c.fingerprint, c.reason FROM shards s
            CROSS JOIN cells c ON c.id >= s.first AND c.id < s.first + s.cells
            WHERE s.modality = ? AND c.status = 'ok' AND c.reason <> ''
        """
        return dict(self.index.query(query, (modality.value,)))

    def _outcomes(self, fingerprints: Iterable[str]) -> dict[str, tuple[Status, str]]:
        found: dict[str, tuple[Status, str]] = {}
        columns = "c.fingerprint, c.status, c.reason, o.created, s.cells, s.name"
        ranks: dict[str, Rank] = {}
        for key, status, reason, created, cells, name in self.index.lookup(columns, fingerprints):
            mine = rank(status, created, cells, name)
            if key.hex() not in ranks or mine < ranks[key.hex()]:
                ranks[key.hex()], found[key.hex()] = mine, (_status(status), reason)
        return found

    @_mending
    def records(
        self,
        corpus: str,
        utterances: Sequence[str],
        modality: Modality,
        extractor: str = "",
        others: Collection[str] = (),
    ) -> dict[str, Record]:
        """The latest stored cell of each utterance that has one, by utterance.

        With ``extractor``, cells of this extractor (by name) or imported ones: a modality's extractors do not replace
        each other, but an imported feature stands for any. Fingerprints in ``others`` are left out.
        """
        found: dict[str, Record] = {}
        for start in range(0, len(utterances), 500):
            batch = utterances[start : start + 500]
            where = f"c.utterance IN ({','.join('?' * len(batch))}) AND s.modality = ? AND o.corpus = ?"
            for row in self.index.records(where, [*batch, modality.value, corpus]):
                record, before = _record(row), found.get(row[1])
                if record.fingerprint in others or not _replaces(extractor, str(record.extractor.get("name"))):
                    continue
                if before is None or (before.created, before.shard) < (record.created, record.shard):
                    found[record.utterance] = record
        return found

    @_mending
    def record(self, fingerprint: str) -> Record | None:
        """The stored cell with this fingerprint, for whichever utterance it was made."""
        rows = [_record(row) for row in self.index.records("c.fingerprint = ?", [bytes.fromhex(fingerprint)])]
        return min(rows, key=lambda row: (row.status is not Status.OK, row.created, row.shard), default=None)

    @_mending
    def known(self, modality: Modality, corpus: str) -> NDArray[np.void]:
        """Every copy of a modality's cells, as an array of :data:`KNOWN`."""
        return self.index.known(modality, corpus)

    @_mending
    def state(self, modality: Modality) -> str:
        """Digest of the set of a modality's shards. A plan depends on nothing else in the store."""
        return self.index.state(modality)

    @_mending
    def kept_plan(self, key: str) -> Any:
        """The plan kept under a key, or ``None``."""
        return self.index.plan(key)

    @_mending
    def keep_plan(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a plan under the digest of everything that it depends on."""
        self.index.keep_plan(key, value)

    def read(self, modality: Modality, fingerprints: Sequence[str]) -> Features:
        """The features with these fingerprints, in this order. Every shard that is read is verified.

        Raises:
            StoreError: one of them is not stored.
            DamagedShardError: a shard's bytes differ from their checksum.
        """
        reason = "it names shards that are not there"
        try:
            try:
                return self._read(modality, fingerprints)
            except FileNotFoundError:  # it was removed since the last refresh, because its cells are elsewhere
                self.refresh()
                return self._read(modality, fingerprints)
        except FileNotFoundError:
            pass
        except (DamagedIndexError, _MisplacedError) as error:
            reason = str(error)
        self.rebuild(reason)
        return self._read(modality, fingerprints)

    def _read(self, modality: Modality, fingerprints: Sequence[str]) -> Features:
        wanted: dict[str, list[tuple[int, int]]] = {}
        places = self._places(modality, fingerprints)
        for row, fingerprint in enumerate(fingerprints):
            if fingerprint not in places:
                raise StoreError(f"{modality} cell {fingerprint[:12]}... is not in the store; run `bigfusion extract`")
            name, position = places[fingerprint]
            wanted.setdefault(name, []).append((row, position))
        values = np.zeros((len(fingerprints), 0), np.float32)
        present = np.zeros(len(fingerprints), bool)
        for name, shard in self.folder.ahead(list(wanted), self.shard):
            rows, positions = np.array(wanted[name]).T
            for row, position in wanted[name]:  # the shard is verified, but the index may be damaged
                if position >= len(shard) or shard.fingerprints[position] != fingerprints[row]:
                    raise _MisplacedError(f"it looks for a cell of {name} in a wrong place")
            kept = shard.present[positions]
            if kept.any():
                width = shard.values.shape[1]
                if values.shape[1] == 0:
                    values = np.zeros((len(fingerprints), width), np.float32)
                if values.shape[1] != width:
                    raise StoreError(
                        f"{modality} features: expected width {values.shape[1]}, found {width} in {name}; the cells do"
                        " not belong to one extractor"
                    )
                values[rows[kept]], present[rows[kept]] = shard.values[positions[kept]], True
        return Features(values, present)

    @_mending
    def frames_places(self, modality: Modality, fingerprints: Sequence[str]) -> list[FramesPlace | None]:
        """Where the frames of the cells with these fingerprints lie, in this order; ``None``: a cell has none.

        Only shards are read, no frames.

        Raises:
            StoreError: one of them is not stored.
            DamagedShardError: a shard's bytes differ from their checksum.
        """
        try:
            return self._frames_places(modality, fingerprints)
        except FileNotFoundError:  # removed since the last refresh, because its cells are elsewhere
            self.refresh()
        try:
            return self._frames_places(modality, fingerprints)
        except FileNotFoundError as error:
            raise StoreError(f"{self.folder}: a shard was removed while it was read ({error}); try again") from error

    def _frames_places(self, modality: Modality, fingerprints: Sequence[str]) -> list[FramesPlace | None]:
        found: dict[str, FramesPlace | None] = {}
        at = self._places(modality, fingerprints)
        for fingerprint in fingerprints:
            if fingerprint not in at:
                raise StoreError(f"{modality} cell {fingerprint[:12]}... is not in the store; run `bigfusion extract`")
        for _, shard in self.folder.ahead(sorted({name for name, _ in at.values()}), self.shard):
            for key, place in zip(shard.fingerprints, places(shard), strict=True):
                if key in at and at[key][0] == shard.name:
                    found[key] = found.get(key) or place
        if found.keys() != at.keys():
            raise DamagedIndexError("it looks for cells in shards that do not hold them")
        return [found[key] for key in fingerprints]

    def frames(self, fingerprints: Sequence[str], at: Sequence[FramesPlace | None]) -> Iterator[tuple[int, Frames]]:
        """The frames of cells, file by file: the row of the request, and its frames. Cells without are left out.

        ``at`` are their places (:meth:`frames_places`). Each file is read once and verified; one at a time is in
        memory.

        Raises:
            DamagedShardError: a file's bytes differ from their checksum, or it is not there.
            StoreError: a file cannot be read.
        """
        rows: dict[str, list[tuple[int, FramesPlace]]] = {}
        for row, place in enumerate(at):
            if place is not None:
                rows.setdefault(place.file, []).append((row, place))
        for name, wanted in rows.items():
            file = self.frames_file(name)
            for row, place in wanted:
                yield row, file.at(place, fingerprints[row])

    def frames_file(self, name: str) -> FramesFile:
        """A frames file, read and verified.

        Raises:
            DamagedShardError: its bytes are not those that its name says, or it is not there.
            StoreError: it cannot be read.
        """
        try:
            return decode_frames(name, self._payload(name))
        except FileNotFoundError:
            raise DamagedShardError(
                f"{self.folder.shown(name)}: expected the frames that a shard names, found no file; `bigfusion fsck"
                " --repair` takes the cells out, and `bigfusion plan` then shows them as new"
            ) from None

    def _places(self, modality: Modality, fingerprints: Sequence[str]) -> dict[str, tuple[str, int]]:
        """The copy to read for each stored fingerprint: its shard, and its position in the shard."""
        best: dict[str, tuple[Rank, int]] = {}
        columns = "c.fingerprint, s.modality, c.status, o.created, s.cells, s.name, c.id - s.first"
        for key, kind, status, created, cells, name, position in self.index.lookup(columns, fingerprints):
            if kind == modality:
                place, found = (rank(status, created, cells, name), position), best.get(key.hex())
                best[key.hex()] = place if found is None else min(place, found)
        return {key: (place[-1], position) for key, (place, position) in best.items()}

    # Upkeep

    @_mending
    def small(self, below: int) -> list[tuple[str, int]]:
        """Name and bytes of the shards below a size that hold more than copies, oldest first."""
        query = f"""
            SELECT s.name, s.bytes FROM shards s JOIN origins o ON o.shard = s.id
            WHERE s.bytes < ? AND s.id IN ({_COUNTING}) GROUP BY s.id ORDER BY min(o.created), s.name
        """
        return self.index.query(query, (below,))

    @_mending
    def unneeded(self, reached: Collection[bytes]) -> list[tuple[str, int, int, str]]:
        """Name, bytes, cells and why (``copies`` or ``unreached``) of the shards that hold nothing needed.

        This is the index's view; :func:`find_garbage` checks it against the shards.
        """
        self.index.set_reached(reached)
        query = f"""
            SELECT name, bytes, cells, 'copies' FROM shards WHERE id NOT IN ({_COUNTING})
            UNION ALL SELECT name, bytes, cells, 'unreached' FROM shards WHERE id IN ({_COUNTING}) AND id NOT IN
                (SELECT shard FROM cells WHERE fingerprint IN (SELECT fingerprint FROM reached))
            ORDER BY name
        """
        return self.index.query(query)

    @_mending
    def sharing(self, name: str) -> list[str]:
        """The other shards that share a fingerprint with this one."""
        query = """
            SELECT DISTINCT other.name FROM shards s CROSS JOIN cells c ON c.id >= s.first AND c.id < s.first + s.cells
            JOIN cells twin ON twin.fingerprint = c.fingerprint JOIN shards other ON other.id = twin.shard
            WHERE s.name = ? AND other.id <> s.id ORDER BY other.name
        """
        return [other for (other,) in self.index.query(query, (name,))]

    @_mending
    def throughput(self, modality: Modality, extractor: str) -> float | None:
        """Seconds for each cell under this extractor (by name) in its latest chunks; ``None``: it never ran here."""
        query = """
            SELECT sum(seconds), sum(cells) FROM (
                SELECT o.seconds, o.cells
                FROM origins o JOIN shards s ON s.id = o.shard JOIN texts t ON t.id = o.extractor
                WHERE s.modality = ? AND json_extract(t.text, '$.name') = ? ORDER BY o.created DESC LIMIT 20)
        """
        seconds, cells = self.index.query(query, (modality.value, extractor))[0]
        return seconds / cells if cells else None

    @_mending
    def extractors(self) -> list[dict[str, Any]]:
        """By extractor (name), modality and corpus: the number of cells, their seconds, and when the last was made."""
        query = """
            SELECT json_extract(t.text, '$.name'), s.modality, o.corpus, sum(o.cells), total(o.seconds), max(o.created)
            FROM origins o JOIN shards s ON s.id = o.shard JOIN texts t ON t.id = o.extractor GROUP BY 1, 2, 3
        """
        names = ("name", "modality", "corpus", "cells", "seconds", "last")
        return [dict(zip(names, row, strict=True)) for row in self.index.query(query)]

    @_mending
    def info(self) -> dict[str, Any]:
        """The store's content: shards, cells, bytes, duplicates, and cells by modality and status."""
        count, cells, size = self.index.query("SELECT count(*), total(cells), total(bytes) FROM shards")[0]
        (distinct,) = self.index.query("SELECT count(*) FROM (SELECT DISTINCT fingerprint, utterance FROM cells)")[0]
        by_status: dict[str, dict[str, int]] = {}
        query = "SELECT s.modality, c.status, count(*) FROM cells c JOIN shards s ON s.id = c.shard GROUP BY 1, 2"
        for modality, status, number in self.index.query(query):
            by_status.setdefault(modality, {})[status] = number
        files = {file for several in self.index.frames().values() for file in several}
        try:
            frames = [entry.bytes for entry in self.folder.entries(files)] if files else []
        except OSError as error:
            raise StoreError(f"{self.folder}: the store cannot be read ({error.strerror})") from error
        return {
            "path": str(self.folder),
            "index": str(self._path),
            "shards": count,
            "cells": int(cells),
            "bytes": int(size),
            "duplicates": int(cells) - distinct,
            "statuses": by_status,
            "frames": {"files": len(files), "bytes": sum(frames)},
        }


class _MisplacedError(Exception):
    """The index gives a wrong place for a cell."""


def rank(status: str, created: str, cells: int, name: str) -> Rank:
    """The order among copies of one cell. The smallest one counts, and gc keeps it.

    A success comes before a failure; then the first that was made (a later one is a duplicate); then the larger shard
    (the others were merged into it). The order depends only on the copies, so it is the same on every machine.
    """
    return (status != Status.OK, created, -cells, name)


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError as error:
        raise DamagedIndexError(str(error)) from None


def _replaces(extractor: str, stored: str) -> bool:
    """Whether cells of ``extractor`` stand where those of ``stored`` stood."""
    return extractor in ("", IMPORTED, stored) or stored == IMPORTED


def _record(row: tuple[Any, ...]) -> Record:
    fingerprint, utterance, status, reason, input_, extractor, run, created, versions, shard = row
    try:
        texts = (json.loads(text) for text in (input_, extractor, versions))
        given, maker, libraries = texts
        why, note = ("", reason) if status == Status.OK else (reason, "")
        return Record(
            fingerprint.hex(), utterance, _status(status), why, given, maker, run, created, libraries, shard, note
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise DamagedIndexError(str(error)) from None
