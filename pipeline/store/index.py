"""The store's index: one SQLite file that says what every shard holds.

It is a cache: a function of the set of shards.

Every copy of a cell is a row. A look-up decides which copy is used, so the order in which shards were indexed never
matters. The rows of one shard have consecutive ids, given by its ``first`` and ``cells``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.readonly import in_memory, writable
from bigfusion.pipeline.store import seal
from bigfusion.pipeline.store.frames import frames_files
from bigfusion.pipeline.store.shards import Origin, Shard, modality_of

log = logging.getLogger("bigfusion.store")

VERSION = 3
_WITHOUT_FRAMES = 2
"""The version of an index until it knows a shard with frames: older programs may use it until then."""
_FRAMES = "CREATE TABLE IF NOT EXISTS frames (shard INTEGER, file TEXT)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS texts (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS shards (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE, modality TEXT, bytes INTEGER, width INTEGER, first INTEGER, cells INTEGER
);
CREATE TABLE IF NOT EXISTS origins (
    id INTEGER PRIMARY KEY, shard INTEGER, corpus TEXT, extractor INTEGER, run TEXT, created TEXT, seconds REAL,
    versions INTEGER, cells INTEGER
);
CREATE TABLE IF NOT EXISTS cells (
    id INTEGER PRIMARY KEY, fingerprint BLOB, utterance TEXT, status TEXT, reason TEXT, input TEXT, origin INTEGER,
    shard INTEGER
);
CREATE INDEX IF NOT EXISTS cells_by_fingerprint ON cells (fingerprint);
CREATE INDEX IF NOT EXISTS cells_by_utterance ON cells (utterance);
CREATE INDEX IF NOT EXISTS origins_by_shard ON origins (shard);
CREATE TABLE IF NOT EXISTS plans (key TEXT PRIMARY KEY, content TEXT, sha256 TEXT);
"""
_BATCH = 500
_PLANS_KEPT = 64
_NOWHERE = Path(":memory:")
KNOWN = np.dtype([("fingerprint", "S32"), ("status", "S20"), ("corpus", "?")])


class DamagedIndexError(Exception):
    """The index is not what was written. The store builds it again from the shards."""


class Index:
    """The SQLite file at ``path``; it is created if it is missing.

    If its place cannot be written, the index is a copy in memory; with ``anew`` it is begun empty there.

    Raises:
        DamagedIndexError: it is there and is not an index of this version.
        FormatError: a newer version wrote it, and may be using it now.
        StoreError: it cannot be opened or written (permissions, full disk, locked for a minute).
    """

    def __init__(self, path: Path, anew: bool = False) -> None:
        self.path = path
        self.kept = path != _NOWHERE and writable(path)
        if self.kept:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{path.parent}: the store's index cannot be made there ({error.strerror})") from error
        with self._errors():
            self._database = self._opened(anew)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _WITHOUT_FRAMES, VERSION):
                self._database.close()
                check_format(path, version, VERSION)
                raise DamagedIndexError(f"written by an earlier version of bigfusion ({version})")
            if version == 0:
                self._unseal()  # it belongs to an index that is gone
                self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")  # only a cache: a power failure may lose commits
            if version == 0:
                with self.writing():
                    for statement in _SCHEMA.split(";"):
                        self._database.execute(statement)
                    self._database.execute(f"PRAGMA user_version = {_WITHOUT_FRAMES}")

    def _opened(self, anew: bool) -> sqlite3.Connection:
        if self.kept:
            return sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        database = in_memory(_NOWHERE if anew else self.path)
        database.isolation_level = None
        return database

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def settle(self) -> None:
        """Move everything written into the main file and seal it. Does nothing if another process uses the index."""
        execute = self._database.execute
        try:
            if not self.kept or seal.seal_of(self.path).exists():
                return
            execute("PRAGMA busy_timeout = 0")
            execute("PRAGMA wal_checkpoint(TRUNCATE)")
            execute("BEGIN IMMEDIATE")
            try:
                if not _bytes(self._log):  # otherwise another process wrote in between
                    seal.seal(self.path)
            finally:
                execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:  # an unsealed index can still be used, and compared with the shards
            log.debug("%s: not sealed (%s)", self.path, error)

    @staticmethod
    def forget(path: Path) -> None:
        """Delete an index, its seal, and SQLite's files beside it, if they can be deleted."""
        if not writable(path):
            return
        for suffix in (seal.SUFFIX, "", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return Path(f"{self.path}-wal")

    def _unseal(self) -> None:
        if not self.kept:
            return
        try:
            seal.unseal(self.path)
        except OSError as error:
            raise StoreError(
                f"{seal.seal_of(self.path)}: cannot be removed ({error.strerror}); correct the permissions and run the"
                " same command again"
            ) from error

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction that excludes all other writers. All of it takes effect, or none."""
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._unseal()
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """A single state of the index for several queries."""
        with self._errors():
            self._database.execute("BEGIN")
        try:
            yield
        finally:
            with self._errors():
                self._database.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise StoreError(
                    f"{self.path}: locked by another process for a minute; wait for it or end it"
                ) from error
            if any(word in text for word in ("full", "disk I/O", "unable to open", "readonly")):
                raise StoreError(
                    f"{self.path}: the index cannot be used ({text}); make room or correct the permissions and run the"
                    " same command again"
                ) from error
            raise DamagedIndexError(text) from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise DamagedIndexError(str(error)) from error

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._errors():
            return self._database.execute(sql, parameters).fetchall()

    # What is there

    def names(self) -> set[str]:
        """The names of the indexed shards."""
        return {name for (name,) in self.query("SELECT name FROM shards")}

    def add(self, shard: Shard, size: int) -> None:
        """Index a shard. A shard that is already indexed is left unchanged.

        Raises:
            FormatError: the shard has frames of a newer format.
        """
        files = frames_files(shard)
        with self.writing():
            execute = self._database.execute
            if execute("SELECT 1 FROM shards WHERE name = ?", (shard.name,)).fetchone():
                return
            (first,) = execute("SELECT coalesce(max(first + cells), 0) FROM shards").fetchone()
            row = (shard.name, modality_of(shard.name), size, shard.values.shape[1], first, len(shard))
            number = execute("INSERT INTO shards VALUES (NULL,?,?,?,?,?,?)", row).lastrowid
            places = shard.column("origin")
            origins = [self._add_origin(number, origin, places.count(at)) for at, origin in enumerate(shard.origins)]
            columns = (shard.column(name) for name in ("utterance", "status", "reason", "input"))
            keys = (bytes.fromhex(name) for name in shard.fingerprints)
            cells = zip(keys, *columns, (origins[at] for at in places), strict=True)
            self._database.executemany(
                "INSERT INTO cells VALUES (?,?,?,?,?,?,?,?)",
                ((first + at, *cell, number) for at, cell in enumerate(cells)),
            )
            if files:
                execute(_FRAMES)
                execute(f"PRAGMA user_version = {VERSION}")
                self._database.executemany("INSERT INTO frames VALUES (?,?)", ((number, file) for file in files))

    def _add_origin(self, shard: int | None, origin: Origin, cells: int) -> int | None:
        extractor, versions = self._text(origin.extractor), self._text(origin.versions)
        row = (shard, origin.corpus, extractor, origin.run, origin.created, origin.seconds, versions, cells)
        return self._database.execute("INSERT INTO origins VALUES (NULL,?,?,?,?,?,?,?,?)", row).lastrowid

    def _text(self, value: Any) -> int:
        text = json.dumps(value, sort_keys=True)
        self._database.execute("INSERT OR IGNORE INTO texts (text) VALUES (?)", (text,))
        number: int = self._database.execute("SELECT id FROM texts WHERE text = ?", (text,)).fetchone()[0]
        return number

    def drop(self, names: Iterable[str]) -> None:
        """Remove shards from the index."""
        with self.writing():
            for name in names:
                for number, first, cells in self.query("SELECT id, first, cells FROM shards WHERE name = ?", (name,)):
                    self._database.execute("DELETE FROM cells WHERE id >= ? AND id < ?", (first, first + cells))
                    self._database.execute("DELETE FROM origins WHERE shard = ?", (number,))
                    self._database.execute("DELETE FROM shards WHERE id = ?", (number,))
                    if self._has_frames():
                        self._database.execute("DELETE FROM frames WHERE shard = ?", (number,))

    def frames(self) -> dict[str, list[str]]:
        """The frames files that each shard names, by the shard's name; shards without are left out."""
        found: dict[str, list[str]] = {}
        if self._has_frames():
            query = "SELECT s.name, f.file FROM frames f JOIN shards s ON s.id = f.shard ORDER BY f.rowid"
            for name, file in self.query(query):
                found.setdefault(name, []).append(file)
        return found

    def _has_frames(self) -> bool:
        return bool(self.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'frames'"))

    def set_reached(self, keys: Iterable[bytes]) -> None:
        """Fill the temporary table ``reached``."""
        with self._errors():
            self._database.execute(
                "CREATE TEMP TABLE IF NOT EXISTS reached (fingerprint BLOB PRIMARY KEY) WITHOUT ROWID"
            )
            self._database.execute("DELETE FROM reached")
            self._database.executemany("INSERT OR IGNORE INTO reached VALUES (?)", ((key,) for key in keys))

    # Look-ups

    def lookup(self, columns: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """``columns`` of cells ``c``, their origins ``o`` and shards ``s`` with these fingerprints; one row for every
        copy.
        """
        joined = "cells c JOIN shards s ON s.id = c.shard JOIN origins o ON o.id = c.origin"
        query = f"SELECT {columns} FROM {joined} WHERE c.fingerprint IN"
        for batch in _batches(bytes.fromhex(key) for key in keys):
            yield from self.query(f"{query} ({','.join('?' * len(batch))})", batch)

    def records(self, where: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Cells with everything known about them, in the order of :class:`Record`."""
        return self.query(
            f"""
            SELECT c.fingerprint, c.utterance, c.status, c.reason, c.input, e.text, o.run, o.created, v.text, s.name
            FROM cells c JOIN shards s ON s.id = c.shard JOIN origins o ON o.id = c.origin
            JOIN texts e ON e.id = o.extractor JOIN texts v ON v.id = o.versions WHERE {where}
            """,
            parameters,
        )

    def known(self, modality: str, corpus: str) -> NDArray[np.void]:
        """Every copy of a modality's cells as an array of :data:`KNOWN`; ``corpus``: whether a cell came from this
        corpus.
        """
        (count,) = self.query("SELECT total(cells) FROM shards WHERE modality = ?", (modality,))[0]
        query = """
            SELECT c.fingerprint, c.status, o.corpus = ? FROM shards s
            CROSS JOIN cells c ON c.id >= s.first AND c.id < s.first + s.cells
            CROSS JOIN origins o ON o.id = c.origin WHERE s.modality = ?
        """
        with self._errors():
            try:
                return np.fromiter(self._database.execute(query, (corpus, modality)), KNOWN, int(count))
            except (ValueError, TypeError) as error:  # fewer rows than the shards say, or a column of another type
                raise DamagedIndexError(str(error)) from error

    def content(self, name: str) -> list[tuple[Any, ...]]:
        """Everything indexed about a shard, at one moment, for comparison; empty if the shard is not indexed."""
        with self._reading():
            return self._content(name)

    def _content(self, name: str) -> list[tuple[Any, ...]]:
        shard = self.query("SELECT modality, bytes, width, cells FROM shards WHERE name = ?", (name,))
        if self._has_frames():
            joined = "SELECT f.file FROM frames f JOIN shards s ON s.id = f.shard WHERE s.name = ? ORDER BY f.rowid"
            shard += self.query(joined, (name,))
        return shard + self.query(
            """
            SELECT c.id - s.first, c.fingerprint, c.utterance, c.status, c.reason, c.input, c.shard = s.id,
                o.shard = s.id, o.corpus, o.run, o.created, o.seconds, o.cells, e.text, v.text
            FROM shards s CROSS JOIN cells c ON c.id >= s.first AND c.id < s.first + s.cells
            CROSS JOIN origins o ON o.id = c.origin JOIN texts e ON e.id = o.extractor JOIN texts v ON v.id = o.versions
            WHERE s.name = ? ORDER BY c.id
            """,
            (name,),
        )

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file, rows that belong to no shard, and plans that differ from what was
        kept.
        """
        found = [str(row) for (row,) in self.query("PRAGMA integrity_check(5)") if row != "ok"]
        counts = (
            "SELECT (SELECT count(*) FROM cells), (SELECT total(cells) FROM shards), (SELECT total(cells) FROM origins)"
        )
        cells, shards, origins = self.query(counts)[0]
        if not cells == shards == origins:
            found.append(f"{cells} cells, {shards:.0f} in its shards, {origins:.0f} in their origins")
        (strangers,) = self.query("SELECT count(*) FROM origins WHERE shard NOT IN (SELECT id FROM shards)")[0]
        if strangers:
            found.append(f"{strangers} origins of no shard")
        if self._has_frames():
            (strangers,) = self.query("SELECT count(*) FROM frames WHERE shard NOT IN (SELECT id FROM shards)")[0]
            if strangers:
                found.append(f"{strangers} frames files of no shard")
        for key, content, sha256 in self.query("SELECT * FROM plans"):
            if _plan_sha256(key, content) != sha256:
                found.append(f"plan {key} is not what was kept")
        return found

    # Plans that are known to hold for a set of shards

    def state(self, modality: str) -> str:
        """Digest of the set of a modality's shards. A plan depends on it, on the manifest and on the extractors."""
        names = sorted(name for (name,) in self.query("SELECT name FROM shards WHERE modality = ?", (modality,)))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()

    def plan(self, key: str) -> Any:
        """The plan kept under ``key``, or ``None``."""
        for content, sha256 in self.query("SELECT content, sha256 FROM plans WHERE key = ?", (key,)):
            if _plan_sha256(key, content) == sha256:
                return json.loads(content)
        return None

    def keep_plan(self, key: str, value: Any) -> None:
        """Keep a plan, and delete all but the latest few."""
        content = json.dumps(value, sort_keys=True)
        sha256 = _plan_sha256(key, content)
        with self.writing():
            self._database.execute("INSERT OR REPLACE INTO plans VALUES (?,?,?)", (key, content, sha256))
            self._database.execute(
                "DELETE FROM plans WHERE rowid <= (SELECT max(rowid) FROM plans) - ?", (_PLANS_KEPT,)
            )


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _plan_sha256(key: str, content: str) -> str:
    return hashlib.sha256(f"{key}{content}".encode()).hexdigest()


def _batches(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    waiting = iter(keys)
    while batch := list(islice(waiting, _BATCH)):
        yield batch
