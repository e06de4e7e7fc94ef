"""Kills, full disks, failing disks and short writes at a commit: the store is never wrong and always goes on."""

import errno
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.store import Store
from tests.helpers.fault_points import FINE, KILLED, REFUSED, at_each_point, counted, forked, limited
from tests.helpers.toy_extraction import CHUNKS, NAMES, run
from tests.helpers.toy_store import cell, content, key, origin


def sound(folder: Path) -> None:
    """Nothing of a partial shard is visible, and the index says what the shards say."""
    if folder.exists():
        assert fsck(folder, folder / "index.sqlite").findings == []


def goes_on(folder: Path, whole: dict) -> None:
    """The next run ends with the same cells, after at most one chunk was computed twice."""
    sound(folder)
    assert forked(lambda: run(folder)) == FINE
    assert content(Store(folder)) == whole
    sound(folder)
    log = (folder.parent / f"{folder.name}.computed").read_text().split()
    assert len(log) - len(NAMES) <= len(CHUNKS[0])


WRITE = os.write


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("count") / "store"
    return counted(lambda: run(folder), folder)


def test_a_shard_is_written_synced_renamed_and_its_folder_synced_before_the_index_knows(points):
    assert points.count("replace") == len(CHUNKS) + 1  # the last is the seal's
    first = points.index("replace")
    assert points[first - 3 : first + 4] == ["open", "write", "fsync", "replace", "open", "fsync", "SELECT"] or points[
        first - 3 : first + 3
    ] == ["open", "write", "fsync", "replace", "open", "fsync"]
    assert "BEGIN" in points[first + 3 :]
    assert points.count("COMMIT") >= len(CHUNKS)


@pytest.mark.slow
def test_a_kill_at_every_point(tmp_path, points, whole):
    for number in range(1, len(points) + 1):
        place = tmp_path / f"{number}"

        def kill(name: str, at: int, args: tuple, number: int = number) -> None:
            if at == number:
                if name == "write":
                    WRITE(args[0], bytes(args[1])[: len(args[1]) // 2])  # torn
                os.kill(os.getpid(), signal.SIGKILL)

        assert (
            forked(lambda place=place: run(place), lambda place=place, kill=kill: at_each_point(kill, place)) == KILLED
        )
        goes_on(place, whole)


@pytest.mark.slow
def test_kills_at_random_moments_of_a_real_process(tmp_path, whole):
    """Inside SQLite's own writes too."""
    place = tmp_path / "store"
    code = "import sys; from tests.helpers import toy_extraction as t; t.run(t.Path(sys.argv[1]))"
    dice = random.Random(0)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", code, str(place)])
        while process.poll() is None and not place.exists():
            time.sleep(0.001)
        time.sleep(dice.random() * 0.05)
        process.kill()
        process.wait()
        sound(place)
    assert forked(lambda: run(place)) == FINE
    assert content(Store(place)) == whole


ERRORS = [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")]


INDEX_ERRORS = [sqlite3.OperationalError("database or disk is full"), sqlite3.OperationalError("disk I/O error")]
WRITING = {"open", "write", "fsync", "replace", "BEGIN", "INSERT", "executemany", "COMMIT"}


@pytest.mark.slow
def test_full_and_failing_disks_at_every_write(tmp_path, points, whole):
    for number, point in enumerate(points, start=1):
        if point not in WRITING:
            continue
        for kind in range(2):
            place = tmp_path / f"{number}-{kind}"

            def fail(name: str, at: int, args: tuple, number: int = number, kind: int = kind) -> None:
                if at == number:
                    if name == "write":
                        WRITE(args[0], bytes(args[1])[: len(args[1]) // 2])
                    raise ERRORS[kind] if name.islower() and name != "executemany" else INDEX_ERRORS[kind]

            sealing = number > len(points) - points[::-1].index("COMMIT")  # without a seal the store is as good
            code = forked(lambda place=place: run(place), lambda p=place, f=fail: at_each_point(f, p))
            assert code == (FINE if sealing else REFUSED)
            assert ShardFolder(place).leftovers() == []
            goes_on(place, whole)


def test_short_writes(tmp_path, whole):
    def short(name: str, number: int, args: tuple) -> int | None:
        return WRITE(args[0], bytes(args[1])[:997]) if name == "write" else None

    assert forked(lambda: run(tmp_path / "store"), lambda: at_each_point(short, tmp_path)) == FINE
    assert content(Store(tmp_path / "store")) == whole


@pytest.mark.parametrize("size", [0, 1000, 3000, 5000, 9000, 33000, 70000])
def test_a_real_limit_on_the_size_of_files(tmp_path, whole, size):
    """The kernel refuses the write itself, SQLite's too."""
    place = tmp_path / "store"
    assert forked(lambda: run(place), lambda: limited(size)) in (REFUSED, FINE)
    goes_on(place, whole)


def test_the_error_says_what_to_do(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"No space left on device.*make room or correct the permissions and run"):
        store.commit(origin(), [cell("a")])


def test_a_store_that_is_gone_is_one_line_and_its_index_stays(tmp_path):
    """A mount that is missing must not look like a store that is empty."""
    store = Store(tmp_path / "store", tmp_path / "index.sqlite")
    store.commit(origin(), [cell("a")])
    store.close()
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"knows 1 shards of it: mount it"):
            Store(tmp_path / "store", tmp_path / "index.sqlite")
        with pytest.raises(StoreError, match=r"mount it"):
            fsck(tmp_path / "store", tmp_path / "index.sqlite", repair=True)
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    assert Store(tmp_path / "store", tmp_path / "index.sqlite").statuses([key("a")]) == {key("a"): Status.OK}
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="Not a directory"):
        Store(tmp_path / "file", tmp_path / "other.sqlite")
    with pytest.raises(StoreError, match="Not a directory"):
        fsck(tmp_path / "file", tmp_path / "other.sqlite")
