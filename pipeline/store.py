"""The feature store: immutable shards are the truth, an SQLite index beside each machine is a cache of them.

A cell is found by its fingerprint; equal transcripts share one. :meth:`Store.refresh` brings the index up to date from
the shards' own content, so it may be deleted at any time, and many processes on many machines may write into one shard
folder: shards are named by what they hold, the first cell with a fingerprint wins and a later one is not used, unless
the first is a failure and the later one, asked for by the user, is not.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import shards
from pipeline.errors import DamagedShardError, StoreError
from pipeline.schema import Modality, Status
from pipeline.shards import Cell, Origin, Shard

log = logging.getLogger("bigfusion.store")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (
    name TEXT PRIMARY KEY, modality TEXT, corpus TEXT, extractor TEXT, run TEXT, created TEXT, seconds REAL,
    versions TEXT, bytes INTEGER, cells INTEGER, duplicates INTEGER
);
CREATE TABLE IF NOT EXISTS cells (
    fingerprint TEXT, utterance TEXT, status TEXT, reason TEXT, input TEXT, shard INTEGER, position INTEGER,
    PRIMARY KEY (fingerprint, utterance)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cells_by_utterance ON cells (utterance);
CREATE INDEX IF NOT EXISTS cells_by_shard ON cells (shard);
"""
_KEEP_BEST = """
INSERT INTO cells VALUES (?,?,?,?,?,?,?) ON CONFLICT (fingerprint, utterance) DO UPDATE SET
    status = excluded.status, reason = excluded.reason, shard = excluded.shard, position = excluded.position
WHERE cells.status <> 'ok' AND excluded.status = 'ok'
"""
_RECORDS = """
SELECT c.fingerprint, c.utterance, c.status, c.reason, c.input, s.extractor, s.run, s.created, s.versions, s.name
FROM cells c JOIN shards s ON s.rowid = c.shard
"""
_VERSION = 1


@dataclass(frozen=True)
class Record:
    """A stored cell without its vector, and the shard that it came in."""

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


class Features(NamedTuple):
    """Features in the order that was asked for.

    Shapes: ``values`` (n, F) float32, zeros where absent; ``present`` (n,) bool.
    """

    values: NDArray[np.float32]
    present: NDArray[np.bool_]


class Store:
    """Shards under ``folder/<modality>/`` and their index at ``index`` (by default ``folder/index.sqlite``).

    Where the folder is shared between machines, give each machine an ``index`` of its own: SQLite's locks do not hold
    over a network file system.
    """

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        self.folder = folder
        self.index = index or folder / "index.sqlite"
        self._open()
        self.refresh()

    def _open(self) -> None:
        try:
            self.index.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.index, timeout=60, check_same_thread=False)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                self._database.close()
                self._forget_index()
                self._database = sqlite3.connect(self.index, timeout=60, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            with self._database:
                self._database.executescript(_SCHEMA)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise StoreError(
                    f"{self.index}: locked by another process for a minute; wait for it or end it"
                ) from error
            log.warning("%s is not a readable index (%s): built again from the shards", self.index, error)
            self._forget_index()
            self._open()
        except OSError as error:
            raise StoreError(f"{self.folder}: the store cannot be opened ({error.strerror})") from error

    def _forget_index(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.index}{suffix}").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the index."""
        self._database.close()

    # Writing

    def commit(self, origin: Origin, cells: Sequence[Cell]) -> str:
        """Store ``cells`` as one shard, then index them. Returns the shard's name.

        Raises:
            StoreError: the shard could not be written; nothing of it is visible.
        """
        name = shards.write(self.folder / origin.modality, origin, cells)
        self._add(shards.read(self.folder / origin.modality / name))
        return name

    def refresh(self) -> None:
        """Bring the index up to date: read what other writers have added, drop what has gone from the folder.

        A damaged shard is named in a warning and left out, so that its cells count as new.
        """
        present = {path.name: path for path in self._files()}
        indexed = {name for (name,) in self._database.execute("SELECT name FROM shards")}
        gone = indexed - present.keys()
        if gone:  # a cell of theirs may live on as another shard's duplicate: read those shards again
            gone |= {name for (name,) in self._database.execute("SELECT name FROM shards WHERE duplicates > 0")}
        for name in sorted(gone):
            self._drop(name)
        for name in sorted(present.keys() - (indexed - gone)):
            try:
                self._add(shards.read(present[name]))
            except DamagedShardError as error:
                _warn_once(str(error))

    def _files(self) -> Iterator[Path]:
        for modality in Modality:
            folder = self.folder / modality
            if folder.is_dir():
                yield from (path for path in folder.iterdir() if shards.is_shard(path.name))

    def _add(self, shard: Shard) -> None:
        origin = shard.origin
        row = (
            shard.name,
            origin.modality,
            origin.corpus,
            json.dumps(origin.extractor, sort_keys=True),
            origin.run,
            origin.created,
            origin.seconds,
            json.dumps(origin.versions, sort_keys=True),
            (self.folder / origin.modality / shard.name).stat().st_size,
            len(shard.fingerprints),
        )
        with self._database:
            inserted = self._database.execute("INSERT OR IGNORE INTO shards VALUES (?,?,?,?,?,?,?,?,?,?,0)", row)
            if not inserted.rowcount:
                return
            number = inserted.lastrowid
            columns = (shard.fingerprints, shard.utterances, shard.statuses, shard.reasons, shard.inputs)
            values = [(*cell, number, at) for at, cell in enumerate(zip(*columns, strict=True))]
            before = self._database.total_changes
            self._database.executemany(_KEEP_BEST, values)
            duplicates = len(values) - (self._database.total_changes - before)
            self._database.execute("UPDATE shards SET duplicates = ? WHERE rowid = ?", (duplicates, number))

    def _drop(self, name: str) -> None:
        with self._database:
            (number,) = self._database.execute("SELECT rowid FROM shards WHERE name = ?", (name,)).fetchone()
            self._database.execute("DELETE FROM cells WHERE shard = ?", (number,))
            self._database.execute("DELETE FROM shards WHERE rowid = ?", (number,))

    # Reading

    def statuses(self, fingerprints: Iterable[str]) -> dict[str, Status]:
        """Status by fingerprint, for those that are stored."""
        found: dict[str, Status] = {}
        for name, status in self._lookup("fingerprint, status", fingerprints):
            if found.get(name) is not Status.OK:
                found[name] = Status(status)
        return found

    def records(self, corpus: str, utterances: Sequence[str], modality: Modality) -> dict[str, Record]:
        """By utterance, the latest cell that was made for it, for those that have one."""
        query = f"""{_RECORDS}
            WHERE c.utterance = ? AND s.corpus = ? AND s.modality = ? ORDER BY s.created DESC, s.rowid DESC LIMIT 1
        """
        found = {}
        for utterance in utterances:
            row = self._database.execute(query, (utterance, corpus, modality)).fetchone()
            if row:
                found[utterance] = _record(row)
        return found

    def record(self, fingerprint: str) -> Record | None:
        """The stored cell with this fingerprint, whichever utterance it was made for."""
        query = f"{_RECORDS} WHERE c.fingerprint = ? ORDER BY c.status <> 'ok' LIMIT 1"
        row = self._database.execute(query, (fingerprint,)).fetchone()
        return _record(row) if row else None

    def fingerprints(self, corpus: str, modality: Modality) -> set[str]:
        """Every stored fingerprint of a corpus's modality."""
        query = (
            "SELECT c.fingerprint FROM cells c JOIN shards s ON s.rowid = c.shard WHERE s.corpus = ? AND s.modality = ?"
        )
        return {name for (name,) in self._database.execute(query, (corpus, modality))}

    def read(self, modality: Modality, fingerprints: Sequence[str]) -> Features:
        """The features with these fingerprints, in this order; every shard that is read is verified.

        Raises:
            StoreError: one of them is not stored.
            DamagedShardError: a shard's bytes differ from their checksum.
        """
        places: dict[str, tuple[int, int]] = {}
        for fingerprint, status, shard, position in self._lookup("fingerprint, status, shard, position", fingerprints):
            if fingerprint not in places or status == Status.OK:
                places[fingerprint] = (shard, position)
        names = dict(self._database.execute("SELECT rowid, name FROM shards"))
        wanted: dict[int, list[tuple[int, int]]] = {}
        for row, fingerprint in enumerate(fingerprints):
            if fingerprint not in places:
                raise StoreError(f"{modality} cell {fingerprint[:12]}... is not in the store; run `bigfusion extract`")
            shard, position = places[fingerprint]
            wanted.setdefault(shard, []).append((row, position))
        values = np.zeros((len(fingerprints), 0), np.float32)
        present = np.zeros(len(fingerprints), bool)
        for number, pairs in wanted.items():
            shard = shards.read(self.folder / modality / names[number])
            rows, positions = np.array(pairs).T
            at = shard.rows[positions]
            kept = at >= 0
            if kept.any():
                if values.shape[1] == 0:
                    values = np.zeros((len(fingerprints), shard.vectors.shape[1]), np.float32)
                if values.shape[1] != shard.vectors.shape[1]:
                    raise StoreError(
                        f"{modality} features: expected width {values.shape[1]}, found {shard.vectors.shape[1]} in"
                        f" {shard.name}; the cells do not belong to one extractor"
                    )
                values[rows[kept]], present[rows[kept]] = shard.vectors[at[kept]], True
        return Features(values, present)

    def failures(self, fingerprints: Iterable[str]) -> dict[str, tuple[Status, str]]:
        """Status and reason by fingerprint, for those that are stored as failures."""
        rows = self._lookup("fingerprint, status, reason", fingerprints)
        return {name: (Status(status), reason) for name, status, reason in rows if status != Status.OK}

    def info(self) -> dict[str, Any]:
        """What the store holds: shards, cells, bytes, duplicates, and cells by modality and status."""
        total = "SELECT count(*), total(cells), total(bytes), total(duplicates) FROM shards"
        count, cells, size, duplicates = (int(number) for number in self._database.execute(total).fetchone())
        by_status: dict[str, dict[str, int]] = {}
        query = """
            SELECT s.modality, c.status, count(*) FROM cells c JOIN shards s ON s.rowid = c.shard GROUP BY 1, 2
        """
        for modality, status, number in self._database.execute(query):
            by_status.setdefault(modality, {})[status] = number
        return {
            "path": str(self.folder),
            "index": str(self.index),
            "shards": count,
            "cells": cells,
            "bytes": size,
            "duplicates": duplicates,
            "statuses": by_status,
        }

    def _lookup(self, columns: str, fingerprints: Iterable[str]) -> list[tuple[Any, ...]]:
        """``columns`` of the stored cells among ``fingerprints``; a temporary table serves any number of them."""
        with self._database:
            self._database.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (name TEXT PRIMARY KEY) WITHOUT ROWID")
            self._database.execute("DELETE FROM wanted")
            self._database.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((name,) for name in fingerprints))
            query = f"SELECT {columns} FROM wanted CROSS JOIN cells ON cells.fingerprint = wanted.name"
            return self._database.execute(query).fetchall()


@cache
def _warn_once(message: str) -> None:
    log.warning("%s", message)


def _record(row: tuple[Any, ...]) -> Record:
    fingerprint, utterance, status, reason, input_, extractor, run, created, versions, shard = row
    return Record(
        fingerprint,
        utterance,
        Status(status),
        reason,
        json.loads(input_),
        json.loads(extractor),
        run,
        created,
        json.loads(versions),
        shard,
    )
