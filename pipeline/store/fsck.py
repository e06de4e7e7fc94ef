"""Checks whether a store is still as it was written: every shard and frames file against its name, the index
against the shards.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.store.folder import Place, ShardFolder, age
from bigfusion.pipeline.store.frames import FramesPlace, cells_of, decode_frames, places
from bigfusion.pipeline.store.index import DamagedIndexError, Index
from bigfusion.pipeline.store.needs import decode_reach
from bigfusion.pipeline.store.seal import broken
from bigfusion.pipeline.store.shards import Shard, check_newer, decode
from bigfusion.pipeline.store.store import Store

_LEFT = 3600.0
_FRAMES_AHEAD = 4
_HOLDERS = """
SELECT c.fingerprint, other.name FROM shards s CROSS JOIN cells c ON c.id >= s.first AND c.id < s.first + s.cells
JOIN cells twin ON twin.fingerprint = c.fingerprint JOIN shards other ON other.id = twin.shard WHERE s.name = ?
"""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. ``kind``: ``shard``, ``frames``, ``index``, ``missing`` or ``needs``."""

    kind: str
    item: str
    problem: str


@dataclass
class Report:
    """What was checked and what was found. ``leftovers`` of killed writers are no damage."""

    shards: int = 0
    checked: int = 0
    cells: int = 0
    frames: int = 0
    findings: list[Finding] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    repaired: bool = False


def fsck(
    folder: Place,
    index: Path,
    sample: float = 1.0,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check a store. Nobody else may be writing into it with this index; see :class:`Store`.

    Each shard (or a random ``sample`` of them): the SHA-256 of its bytes against its name, its page checksums, and its
    rows in the index, word for word. The frames files in the same way, and against what the shards say of them. The
    index: its bytes against its seal if it has one, SQLite's own integrity check, no shard that is gone, no row too
    many. With ``repair``, damaged shards and frames files are set aside (their cells are new in the next plan) and the
    index is built again.

    Raises:
        StoreError: the folder cannot be read, or the repair cannot be written.
        FormatError: a newer version of bigfusion wrote a shard or the index; nothing was repaired.
    """
    shelf, report = ShardFolder(folder), Report()
    try:
        names = sorted(shelf.names())
        if index.exists() and not names and not shelf.there():
            raise StoreError(f"{shelf}: expected the store, found nothing there: mount it or correct workspace.store")
        _look(shelf, names, index, sample, report, progress)
        old = [entry.key for entry in shelf.leftovers() if age(entry) > _LEFT]
    except OSError as error:
        raise StoreError(f"{shelf}: the store cannot be read ({error.strerror})") from error
    report.leftovers = [shelf.objects.shown(key) for key in old]
    if repair and (report.findings or old):
        _repair(shelf, index, report, old)
    return report


def _look(
    shelf: ShardFolder,
    names: list[str],
    index: Path,
    sample: float,
    report: Report,
    progress: Callable[[int, int], None],
) -> None:
    chosen, frames = _chosen(names, sample), _chosen(sorted(shelf.frames()), sample)
    report.shards = len(names)
    indexed = _index(index, report)
    expected: dict[str, list[tuple[str, str, FramesPlace]]] = {}
    for done, (name, payload) in enumerate(shelf.ahead(chosen, lambda name: _payload(shelf, name)), start=1):
        progress(done, len(chosen) + len(frames))
        if isinstance(payload, FileNotFoundError):
            continue  # it was removed since the folder was listed; if the index needs it, it is reported below
        if isinstance(payload, OSError):
            problem = f"{shelf.shown(name)}: the shard cannot be read ({payload.strerror}); nothing was done to it"
            report.findings.append(Finding("shard", name, problem))
            continue
        try:
            shard = _check(name, payload, indexed, report)
        except DamagedShardError as error:
            check_newer(name, payload)
            report.damaged.append(name)
            report.findings.append(Finding("shard", name, str(error)))
            continue
        for key, place in zip(shard.fingerprints, places(shard), strict=True):
            if place is not None:
                expected.setdefault(place.file, []).append((name, key, place))
    _look_at_frames(
        shelf, frames, expected, report, lambda done: progress(len(chosen) + done, len(chosen) + len(frames))
    )
    if indexed is not None:
        report.findings += _lost(shelf, indexed)
        indexed.close()


def _chosen(names: list[str], sample: float) -> list[str]:
    if sample >= 1:
        return names
    return sorted(random.sample(names, min(len(names), max(1, round(len(names) * sample)))))


def _look_at_frames(
    shelf: ShardFolder,
    chosen: list[str],
    expected: dict[str, list[tuple[str, str, FramesPlace]]],
    report: Report,
    progress: Callable[[int], None],
) -> None:
    """Check frames files, and that those which the checked shards name (``expected``) are there and say the same."""
    read = shelf.ahead(chosen, lambda name: _payload(shelf, name), _FRAMES_AHEAD)
    for done, (name, payload) in enumerate(read, start=1):
        progress(done)
        if isinstance(payload, FileNotFoundError):
            continue
        if isinstance(payload, OSError):
            problem = f"{shelf.shown(name)}: the frames cannot be read ({payload.strerror}); nothing was done to it"
            report.findings.append(Finding("frames", name, problem))
            continue
        try:
            file = decode_frames(name, payload)
            for _, key, place in expected.get(name, []):
                file.at(place, key)
        except DamagedShardError as error:
            report.damaged.append(name)
            report.findings.append(Finding("frames", name, str(error)))
            continue
        report.frames += 1
    gone = sorted(expected.keys() - shelf.frames())
    shards = shelf.names() if gone else set()  # gc removes a shard before its frames
    for name in gone:
        holders = sorted({shard for shard, _, _ in expected[name]} & shards)
        if holders:
            report.findings.append(Finding("missing", name, f"{holders[0]} names it, the folder has lost it"))


def _lost(shelf: ShardFolder, indexed: Index) -> list[Finding]:
    """The shards that the index knows, the folder lacks, and somebody needs; and the damaged lists of needs.

    gc on another machine removes shards too: those whose cells lie in others, or that no list of needs names.
    """
    known = indexed.names()
    present = shelf.names()
    gone = sorted((known - present) & indexed.names())  # a remover on this machine updates the index first
    if not gone:
        return []
    needed, findings = _needed(shelf)
    held = _held(shelf, present - known)
    for name in gone:
        cells: dict[bytes, set[str]] = {}
        for key, other in indexed.query(_HOLDERS, (name,)):
            cells.setdefault(key, set()).add(other)
        missing = (key for key, others in cells.items() if not others & present and key not in held)
        if any(needed is None or key in needed for key in missing):
            findings.append(Finding("missing", name, "the index knows it, the folder has lost it"))
    return findings


def _needed(shelf: ShardFolder) -> tuple[set[bytes] | None, list[Finding]]:
    """All fingerprints that some workspace needs, and the damaged lists.

    ``None`` means unknown, so everything may be needed.

    They are unknown if a list is damaged or if there are no lists.
    """
    lists, damaged = [], []
    for place, payload in shelf.needs():
        try:
            lists.append(decode_reach(payload, place))
        except StoreError as error:
            damaged.append(Finding("needs", place.rpartition("/")[2], str(error)))
    return set().union(*lists) if lists and not damaged else None, damaged


def _held(shelf: ShardFolder, names: set[str]) -> set[bytes]:
    """The fingerprints in shards that the index does not know yet."""
    found: set[bytes] = set()
    for name in names:
        with contextlib.suppress(DamagedShardError, OSError):  # the check of each shard reports these
            found.update(map(bytes.fromhex, decode(name, shelf.read(name)).fingerprints))
    return found


def _repair(shelf: ShardFolder, index: Path, report: Report, old: list[str]) -> None:
    try:
        for name in report.damaged:
            report.set_aside.append(shelf.set_aside(name))
        shelf.remove(old)
        if report.findings:
            Index.forget(index)
    except OSError as error:
        raise StoreError(
            f"{error.filename or shelf}: could not be set aside or removed ({error.strerror}); nothing was lost:"
            " correct the permissions and run the same command again"
        ) from error
    with Store(shelf.place, index, cache=0) as store:
        _without_lost_frames(store, report)
    report.repaired = True


def _without_lost_frames(store: Store, report: Report) -> None:
    """Set aside the shards that name frames files which are not there. Their other cells are stored anew before."""
    try:
        present = store.folder.frames()
        broken = {shard for shard, files in store.index.frames().items() if not present.issuperset(files)}
        for name in sorted(broken):
            shard = store.shard(name)
            rows = [row for row, place in enumerate(places(shard)) if place is None or place.file in present]
            if rows:
                cells, at = cells_of(shard), shard.column("origin")
                used = sorted({at[row] for row in rows})
                store.add(
                    [shard.origins[place] for place in used],
                    [cells[row] for row in rows],
                    [used.index(at[row]) for row in rows],
                )
            report.set_aside.append(store.folder.set_aside(name))
        if broken:
            store.refresh()
    except OSError as error:
        raise StoreError(f"{store.folder}: a shard could not be set aside ({error.strerror}); run it again") from error


def _index(path: Path, report: Report) -> Index | None:
    """The index, if there is one that can be compared with the shards."""
    if not path.exists():
        return None  # the index is only a cache: the next command builds it
    index = None
    try:
        if (problem := broken(path)) is not None:
            problems = [problem]
        else:
            index = Index(path)
            problems = index.problems()
    except OSError as error:
        problems = [f"cannot be read ({error.strerror})"]
    except (DamagedIndexError, StoreError) as error:
        problems = [str(error)]
    report.findings += [Finding("index", path.name, problem) for problem in problems]
    if problems and index is not None:
        index.close()
    return None if problems else index


def _payload(shelf: ShardFolder, name: str) -> bytes | OSError:
    try:
        return shelf.read(name)
    except OSError as error:
        return error


def _check(name: str, payload: bytes, indexed: Index | None, report: Report) -> Shard:
    shard = decode(name, payload)
    report.checked += 1
    report.cells += len(shard)
    if indexed is None:
        return shard
    expected = Index(Path(":memory:"))
    try:
        expected.add(shard, len(payload))
        found = indexed.content(name)  # no finding: another machine wrote it, and this one has not looked since
        if found and found != expected.content(name):
            report.findings.append(Finding("index", name, "its rows in the index are not what the shard holds"))
    except DamagedIndexError as error:
        report.findings.append(Finding("index", name, str(error)))
    finally:
        expected.close()
    return shard
