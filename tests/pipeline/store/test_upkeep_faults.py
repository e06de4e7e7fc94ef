"""Kills and failing disks under compaction, gc, fsck and repair: one clear line, and no sound cell is lost."""

import errno
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.store import Store
from tests.helpers.fault_points import ALL_CALLS, FINE, KILLED, REFUSED, at_each_point, counted, forked
from tests.helpers.toy_extraction import NAMES, run
from tests.helpers.toy_store import content, key

INDEX_ERRORS = [sqlite3.OperationalError("database or disk is full"), sqlite3.OperationalError("disk I/O error")]


def tidy(folder: Path) -> None:
    """Compact, then let gc remove the copies."""
    store = Store(folder)
    compact(store)
    remove(store, find_garbage(store, [bytes.fromhex(key(name)) for name in NAMES], grace=0))
    store.close()


@pytest.mark.slow
def test_a_kill_at_every_point_of_compaction_and_gc(tmp_path, whole):
    run(tmp_path / "0")
    points = counted(lambda: tidy(tmp_path / "0"), tmp_path / "0")
    assert len(Store(tmp_path / "0").folder.names()) == 1
    for number in range(1, len(points) + 1):
        place = tmp_path / f"{number}"
        run(place)

        def kill(name: str, at: int, args: tuple, number: int = number) -> None:
            if at == number:
                os.kill(os.getpid(), signal.SIGKILL)

        assert (
            forked(lambda place=place: tidy(place), lambda place=place, kill=kill: at_each_point(kill, place)) == KILLED
        )
        assert content(Store(place)) == whole
        tidy(place)
        assert content(Store(place)) == whole
        assert len(Store(place).folder.names()) == 1


def damage_one(folder: Path) -> None:
    victim = sorted(folder.glob("audio/*.parquet"))[1]
    victim.write_bytes(victim.read_bytes()[:-1] + b"X")


def mend(folder: Path) -> None:
    fsck(folder, folder / "index.sqlite", repair=True)


UPKEEP = {
    "compact": lambda folder: compact(Store(folder)),
    "gc": lambda folder: remove(Store(folder), find_garbage(Store(folder), [], grace=0)),
    "copies": tidy,
    "fsck": lambda folder: fsck(folder, folder / "index.sqlite"),
    "repair": mend,
    "rebuild": lambda folder: Store(folder, folder / "new.sqlite").info(),
}


REFUSALS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES]


CHANGING = {"open", "write", "fsync", "replace", "unlink", "mkdir", "utime"}


def upkeep_under_faults(command: str, tmp_path: Path, every: int, stop: int | None) -> None:
    """At every (n-th) operation of one command an error, or a kill: one clear line, and no sound cell is lost."""
    run(tmp_path / "base")
    if command == "repair":
        damage_one(tmp_path / "base")
    sound_ones = {path.name: path.read_bytes() for path in (tmp_path / "base").glob("audio/*.parquet")}
    after = None if command in ("gc", "repair") else content(Store(tmp_path / "base", tmp_path / "all.sqlite"))
    shutil.copytree(tmp_path / "base", tmp_path / "trace")
    points = counted(lambda: UPKEEP[command](tmp_path / "trace"), tmp_path / "trace", ALL_CALLS)
    for number in range(1, len(points) + 1, every):
        name = points[number - 1]
        place = tmp_path / str(number)
        shutil.copytree(tmp_path / "base", place)

        def act(name: str, at: int, args: tuple, number: int = number) -> None:
            if at != number:
                return
            if stop is None:
                os.kill(os.getpid(), signal.SIGKILL)
            if name.islower() and name != "executemany":
                raise OSError(stop, os.strerror(stop), str(args[0]))
            raise INDEX_ERRORS[number % 2]

        code = forked(lambda place=place: UPKEEP[command](place), lambda p=place, a=act: at_each_point(a, p, ALL_CALLS))
        assert code in ((KILLED,) if stop is None else (FINE, REFUSED)), (number, name)
        left = {path.name: path.read_bytes() for path in place.rglob("*.parquet") if not path.name.startswith(".")}
        if command == "repair":
            assert left.items() >= sound_ones.items()  # what is damaged is set aside
        elif command != "gc":
            assert content(Store(place, tmp_path / f"{number}.sqlite")) == after
        UPKEEP[command](place)  # goes on once the fault is gone
        if command != "fsck":
            assert fsck(place, place / "index.sqlite").findings == []
        shutil.rmtree(place)


@pytest.mark.slow
@pytest.mark.parametrize("command", UPKEEP)
def test_errors_and_kills_during_upkeep(command, tmp_path):
    for turn, stop in enumerate([*REFUSALS, None]):
        (tmp_path / str(turn)).mkdir()
        upkeep_under_faults(command, tmp_path / str(turn), 17 + turn, stop)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["copies", "repair"])
def test_errors_and_kills_at_every_second_operation_of_upkeep(command, tmp_path):
    for turn, stop in enumerate([errno.EIO, None]):
        (tmp_path / str(turn)).mkdir()
        upkeep_under_faults(command, tmp_path / str(turn), 2, stop)


def test_a_store_that_cannot_be_written_can_be_read_and_checked(tmp_path, whole):
    """A read-only mount: whatever would change a file in it is refused."""
    run(tmp_path / "store")

    def refuse(name: str, number: int, args: tuple) -> None:
        if name in CHANGING and not (name == "open" and args[1] & os.O_ACCMODE == os.O_RDONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(args[0]))

    def look() -> None:
        store = Store(tmp_path / "store", tmp_path / "mine.sqlite")
        assert content(store) == whole
        store.close()
        assert fsck(tmp_path / "store", tmp_path / "mine.sqlite").findings == []

    assert forked(look, lambda: at_each_point(refuse, tmp_path / "store", ALL_CALLS)) == FINE
    before = {path: path.read_bytes() for path in tmp_path.glob("store/audio/*")}
    for command in ("gc", "copies"):
        code = forked(
            lambda c=command: UPKEEP[c](tmp_path / "store"),
            lambda: at_each_point(refuse, tmp_path / "store", ALL_CALLS),
        )
        assert code == REFUSED
    assert {path: path.read_bytes() for path in tmp_path.glob("store/audio/*")} == before
