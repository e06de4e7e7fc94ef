"""Is the store what it was when it was written? Every shard against its name, the index against the shards."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import DamagedShardError, StoreError
from pipeline.folder import ShardFolder
from pipeline.index import DamagedIndexError, Index
from pipeline.seal import broken
from pipeline.shards import decode
from pipeline.store import Store

_LEFT = 3600.0


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be. ``kind``: ``shard``, ``index`` or ``missing``."""

    kind: str
    item: str
    problem: str


@dataclass
class Report:
    """What was looked at and what was found. ``leftovers`` of killed writers are no damage."""

    shards: int = 0
    checked: int = 0
    cells: int = 0
    findings: list[Finding] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    set_aside: list[Path] = field(default_factory=list)
    repaired: bool = False


def fsck(
    folder: Path,
    index: Path,
    sample: float = 1.0,
    repair: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check a store that nobody else is writing into with this index; see :class:`pipeline.store.Store`.

    Each shard (a random ``sample`` of them): the SHA-256 of its bytes against its name, its page checksums, and its
    rows in the index, word for word. The index: its bytes against its seal where it has one, SQLite's own integrity
    check, no shard that is gone, no row too many.
    With ``repair``, damaged shards are set aside (their cells are new in the next plan) and the index is built again.

    Raises:
        StoreError: the folder cannot be read, or the repair cannot be written.
    """
    shelf, report = ShardFolder(folder), Report()
    names = sorted(shelf.names())
    chosen = names if sample >= 1 else sorted(random.sample(names, min(len(names), max(1, round(len(names) * sample)))))
    report.shards = len(names)
    indexed = _index(index, report)
    damaged = []
    for done, name in enumerate(chosen, start=1):
        try:
            _check(shelf, name, indexed, report)
        except FileNotFoundError:  # removed since the folder was listed; if the index needs it, it is named below
            pass
        except DamagedShardError as error:
            damaged.append(name)
            report.findings.append(Finding("shard", name, str(error)))
        except (StoreError, OSError) as error:
            report.findings.append(Finding("shard", name, str(error)))
        progress(done, len(chosen))
    if indexed is not None:
        known = indexed.names()
        gone = sorted((known - shelf.names()) & indexed.names())  # whoever removes one takes it out of the index first
        report.findings += [Finding("missing", name, "the index knows it, the folder has lost it") for name in gone]
        indexed.close()
    report.leftovers = [path for path in shelf.leftovers() if shelf.age(path) > _LEFT]
    if repair and (report.findings or report.leftovers):
        report.set_aside = [shelf.set_aside(name) for name in damaged]
        shelf.remove(report.leftovers)
        if report.findings:
            Index.forget(index)
        Store(folder, index).close()
        report.repaired = True
    return report


def _index(path: Path, report: Report) -> Index | None:
    """The index, if there is one that can be compared with the shards."""
    if not path.exists():
        return None  # it is only a cache: the next command builds it
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


def _check(shelf: ShardFolder, name: str, indexed: Index | None, report: Report) -> None:
    payload = shelf.read(name)
    shard = decode(name, payload)
    report.checked += 1
    report.cells += len(shard)
    if indexed is None:
        return
    expected = Index(Path(":memory:"))
    try:
        expected.add(shard, len(payload))
        found = indexed.content(name)  # nothing: another machine wrote it, and this one has not looked since
        if found and found != expected.content(name):
            report.findings.append(Finding("index", name, "its rows in the index are not what the shard holds"))
    except DamagedIndexError as error:
        report.findings.append(Finding("index", name, str(error)))
    finally:
        expected.close()
