"""Canonical digests of values, files and code: what decides whether a cell is stale.

A value's digest is the SHA-256 of its canonical JSON. A file's digest is the SHA-256 of its bytes, remembered by its
stat so that an unchanged file is not read twice. Code is digested as syntax trees: comments, formatting and docstrings
change nothing, a changed helper three imports away does.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

log = logging.getLogger("bigfusion")

R = TypeVar("R")

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "extractors", "model", "flows")

SETTLED_NS = 2_000_000_000
"""A file modified this shortly before it was hashed may change again within its timestamp: it is hashed once more."""

PARSER_TRIALS = 3

_REMEMBER_SECONDS = 5.0
_UNUSABLE = {
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip
"""What SQLite says of a place that cannot be used; else the file is not what was written."""


def canonical(value: Any) -> bytes:
    """``value`` as canonical JSON: sorted keys, no spaces, UTF-8, no NaN.

    Raises:
        ValueError: a float is not finite.
        TypeError: something that JSON has no word for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def digest(value: Any) -> str:
    """SHA-256 (hex) of ``value``'s canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileDigests:
    """SHA-256 of files, with a cache by (path, size, mtime, ctime, inode) in one SQLite file.

    ``touch`` costs one more reading and changes no digest. ``cache=None`` remembers within this object alone. A cache
    that is damaged is begun anew, one that cannot be used (full disk, no rights) is done without; a warning says so.
    """

    def __init__(self, cache: Path | None = None, threads: int = 2) -> None:
        self._threads = threads
        self._cache = cache
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _database(cache)
        except sqlite3.DatabaseError as error:
            self._mend(error)

    def of(self, paths: Iterable[Path], progress: Callable[[int], None] = lambda done: None) -> dict[Path, str]:
        """Digest by path, for those of ``paths`` that are files. ``progress(n)`` is called as n more are known."""
        stats = {path: stat for path in dict.fromkeys(paths) if (stat := _stat(path)) is not None}
        known = self._mended(lambda: self._remembered(stats))
        progress(len(known))
        unknown = [path for path in stats if path not in known]
        with self._remembering() as remember, ThreadPoolExecutor(self._threads) as pool:  # hashlib releases the GIL
            for path, sha256 in zip(unknown, pool.map(file_sha256, unknown), strict=True):
                known[path] = sha256
                remember(path, stats[path], sha256)
                progress(1)
        return {path: known[path] for path in stats}

    def one(self, path: Path) -> str:
        """The digest of one file that must exist.

        Raises:
            FileNotFoundError: there is no such file.
        """
        found = self.of([path])
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]

    @contextmanager
    def _remembering(self) -> Iterator[Callable[[Path, os.stat_result, str], None]]:
        """What is hashed in this block is written down every few seconds: an interrupted command loses little."""
        waiting: dict[Path, tuple[os.stat_result, str]] = {}
        written = time.monotonic()

        def write() -> None:
            self._mended(lambda: self._remember(waiting))
            waiting.clear()

        def remember(path: Path, stat: os.stat_result, sha256: str) -> None:
            nonlocal written
            waiting[path] = stat, sha256
            if time.monotonic() - written > _REMEMBER_SECONDS:
                write()
                written = time.monotonic()

        try:
            yield remember
        finally:
            write()

    def _mended(self, work: Callable[[], R]) -> R:
        try:
            return work()
        except sqlite3.DatabaseError as error:
            self._mend(error)
            return work()

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Go on with an empty cache: in place of a damaged one, in memory where the file cannot be used."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF in _UNUSABLE:
            log.warning("%s: cannot be used (%s): the next command reads all files again", self._cache, error)
            self._database = _database(None)
        else:
            log.warning("%s: not a readable cache (%s): begun anew, files are read once more", self._cache, error)
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._cache}{suffix}").unlink(missing_ok=True)
            self._database = _database(self._cache)

    def _remembered(self, stats: Mapping[Path, os.stat_result]) -> dict[Path, str]:
        if len(stats) > 500:  # one pass over the table beats many look-ups
            rows = {path: (stat, sha256) for path, stat, sha256 in self._database.execute("SELECT * FROM files")}
        else:
            query = "SELECT path, stat, sha256 FROM files WHERE path = ?"
            found = (self._database.execute(query, (str(path),)).fetchone() for path in stats)
            rows = {row[0]: (row[1], row[2]) for row in found if row}
        known = {}
        for path, stat in stats.items():
            row = rows.get(str(path))
            if row is not None and row[0] == _signature(stat):
                known[path] = row[1]
        return known

    def _remember(self, found: Mapping[Path, tuple[os.stat_result, str]]) -> None:
        now = time.time_ns()
        rows = [
            (str(path), _signature(stat), sha256)
            for path, (stat, sha256) in found.items()
            if now - stat.st_mtime_ns > SETTLED_NS
        ]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)


def _database(cache: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(cache or ":memory:", timeout=60, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")  # a lost cache costs a reading, nothing else
    database.execute("CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stat TEXT, sha256 TEXT) WITHOUT ROWID")
    return database


def _stat(path: Path) -> os.stat_result | None:
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return stat if path.is_file() else None


def _signature(stat: os.stat_result) -> str:
    return f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_ino}"


@cache
def code_digests(module: str, root: Path = PROJECT) -> dict[str, str]:
    """Digest by file of ``module`` and every module of this project that it reaches by import.

    Keys are POSIX paths relative to ``root`` (``extractors/faces.py``), the folder that holds the packages.

    Raises:
        ModuleNotFoundError: ``module`` is not a module under ``root``.
    """
    if _source(module, root) is None:
        raise ModuleNotFoundError(f"no module {module} under {root}")
    digests: dict[str, str] = {}
    waiting = list(_with_packages(module))
    while waiting:
        path = _source(waiting.pop(), root)
        if path is None or (key := path.relative_to(root).as_posix()) in digests:
            continue
        tree = _parsed(path.read_bytes())
        digests[key] = hashlib.sha256(normalised(tree).encode()).hexdigest()
        package = list(path.relative_to(root).parent.parts)
        waiting.extend(_imported(tree, package))
    return dict(sorted(digests.items()))


def _parsed(source: bytes) -> ast.Module:
    """The syntax tree of a module.

    CPython before 3.11.8 counts the depth of all threads' parsing together, and complains of its own count (gh-106905).
    """
    for _ in range(PARSER_TRIALS):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def normalised(tree: ast.AST) -> str:
    """A syntax tree as text, without positions, docstrings and empty fields.

    Not ``ast.dump``: its text differs between Python versions, and an upgrade must not make every feature stale.
    """
    if isinstance(tree, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and _has_docstring(tree):
        tree.body = tree.body[1:]
    return _text(tree)


def _text(value: Any) -> str:
    if isinstance(value, ast.AST):
        fields = ((name, getattr(value, name, None)) for name in value._fields if name not in ("kind", "type_comment"))
        inner = ",".join(
            f"{name}={normalised(field) if isinstance(field, ast.AST) else _text(field)}"
            for name, field in fields
            if field is not None and field != []
        )
        return f"{type(value).__name__}({inner})"
    if isinstance(value, list):
        return "[" + ",".join(normalised(item) if isinstance(item, ast.AST) else _text(item) for item in value) + "]"
    return repr(value)


def _has_docstring(tree: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = tree.body[0] if tree.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _source(module: str, root: Path) -> Path | None:
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return None
    as_module = root.joinpath(*parts).with_suffix(".py")
    as_package = root.joinpath(*parts, "__init__.py")
    return as_module if as_module.is_file() else as_package if as_package.is_file() else None


def _imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Names of every module that an import statement anywhere in ``tree`` may reach, its packages included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _with_packages(name)


def _with_packages(module: str) -> Iterator[str]:
    """``a.b.c`` -> ``a``, ``a.b``, ``a.b.c``: importing a module runs its packages too."""
    parts = module.split(".")
    return (".".join(parts[: end + 1]) for end in range(len(parts)))
