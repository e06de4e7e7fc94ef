"""Kills, full disks, failing disks, short writes and flipped bits: the store is never wrong and always goes on."""

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.claims import Claims
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.seal import SUFFIX, seal_of
from bigfusion.pipeline.store.store import Store
from tests.helpers.fault_points import ALL_CALLS, FINE, KILLED, REFUSED, at_each_point, counted, forked, limited
from tests.helpers.toy_extraction import CHUNKS, NAMES, computed, run
from tests.helpers.toy_store import cell, content, key, origin


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    run(folder)
    return content(Store(folder))


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


def _some(points: list[str], request) -> list[int]:
    """All points in the slow test, every seventh and all around the first rename in the quick one."""
    numbers = range(1, len(points) + 1)
    if request.node.get_closest_marker("slow"):
        return list(numbers)
    rename = points.index("replace") + 1
    return sorted({*numbers[::13], *range(rename - 4, rename + 4)})


def kill_everywhere(folder: Path, points: list[str], numbers: list[int], whole: dict) -> None:
    for number in numbers:
        place = folder / f"{number}"

        def kill(name: str, at: int, args: tuple, number: int = number) -> None:
            if at == number:
                if name == "write":
                    WRITE(args[0], bytes(args[1])[: len(args[1]) // 2])  # torn
                os.kill(os.getpid(), signal.SIGKILL)

        assert (
            forked(lambda place=place: run(place), lambda place=place, kill=kill: at_each_point(kill, place)) == KILLED
        )
        goes_on(place, whole)


WRITE = os.write


def test_a_kill_at_any_point(tmp_path, points, whole, request):
    kill_everywhere(tmp_path, points, _some(points, request), whole)


@pytest.mark.slow
def test_a_kill_at_every_point(tmp_path, points, whole, request):
    kill_everywhere(tmp_path, points, _some(points, request), whole)


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


def fail_everywhere(folder: Path, points: list[str], numbers: list[int], whole: dict) -> None:
    for number in numbers:
        if points[number - 1] not in WRITING:
            continue
        for kind in range(2):
            place = folder / f"{number}-{kind}"

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


def test_full_and_failing_disks(tmp_path, points, whole, request):
    fail_everywhere(tmp_path, points, _some(points, request), whole)


@pytest.mark.slow
def test_full_and_failing_disks_at_every_write(tmp_path, points, whole, request):
    fail_everywhere(tmp_path, points, _some(points, request), whole)


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


def flips(payload: bytes, number: int, seed: int) -> Iterator[bytes]:
    """``payload`` with one bit flipped, again and again."""
    dice = np.random.default_rng(seed)
    for bit in dice.choice(len(payload) * 8, number, replace=False):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Store:
    """A store of 900 cells, its index packed, so that few bits of it mean nothing, and sealed."""
    folder = tmp_path_factory.mktemp("full")
    store = Store(folder)
    for chunk in range(3):
        store.commit(origin(created=f"2026-01-0{chunk + 1}"), [computed(f"{chunk}-{n}") for n in range(300)])
    store.index.query("PRAGMA wal_checkpoint(TRUNCATE)")
    store.index.query("VACUUM")
    store.index.settle()
    return store


def test_every_one_of_1000_flipped_bits_is_found(full, tmp_path):
    """560 in shards, 400 in the index, 40 in its seal; fsck names the file, and no read gives a wrong number."""
    copy, index = tmp_path / "store", tmp_path / "store/index.sqlite"
    shutil.copytree(full.folder.place, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    names = sorted(content(full))
    right = full.read(Modality.AUDIO, names)
    assert fsck(copy, index).findings == []
    shards_of = sorted(copy.glob("audio/*.parquet"))
    numbers = [(path, 200 if path is shards_of[0] else 180) for path in shards_of]
    total = 0
    for seed, (victim, number) in enumerate([*numbers, (index, 400), (seal_of(index), 40)]):
        sane = victim.read_bytes()
        for damaged in flips(sane, number, seed):
            total += 1
            victim.write_bytes(damaged)
            if victim in shards_of:
                with pytest.raises(DamagedShardError):
                    shards.decode(victim.name, damaged)
            if victim not in shards_of or total % 10 == 0:
                (found,) = fsck(copy, index, sample=1.0 if victim in shards_of else 0.1).findings
                assert found.item == victim.name.removesuffix(SUFFIX)
            if victim == index and total % 4 == 0:
                reads_right_or_says_so(copy, index, names, right)
                for suffix in (SUFFIX, "-wal", "-shm"):
                    Path(f"{index}{suffix}").unlink(missing_ok=True)
                shutil.copy(seal_of(full.folder.place / "index.sqlite"), copy)
        victim.write_bytes(sane)
    assert total == 1000
    assert fsck(copy, index).findings == []


def reads_right_or_says_so(folder: Path, index: Path, names: list[str], right) -> None:
    """What a read does with a damaged index before any fsck."""
    try:
        store = Store(folder, index)
        features = store.read(Modality.AUDIO, names)
        store.close()
    except StoreError:
        return
    assert (features.values == right.values).all()
    assert (features.present == right.present).all()


def test_a_lost_byte_of_index_or_seal_is_found(full, tmp_path):
    copy, index = tmp_path / "store", tmp_path / "store/index.sqlite"
    shutil.copytree(full.folder.place, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    for victim in (index, seal_of(index)):
        sane = victim.read_bytes()
        for damaged in (sane[:-1], sane + b"x", b""):
            victim.write_bytes(damaged)
            assert [found.kind for found in fsck(copy, index).findings] == ["index"]
        victim.write_bytes(sane)
    index.write_bytes(b"")
    assert fsck(copy, index, repair=True).repaired
    assert fsck(copy, index).findings == []
    assert seal_of(index).exists()


def test_a_writer_breaks_the_seal_before_it_writes_and_makes_it_anew(tmp_path):
    index = tmp_path / "index.sqlite"
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    assert not seal_of(index).exists()
    store.close()
    first = seal_of(index).read_bytes()
    Store(tmp_path).close()
    assert seal_of(index).read_bytes() == first
    reader, store = Store(tmp_path), Store(tmp_path)
    store.commit(origin(), [cell("b")])
    store.close(settle=False)
    assert not seal_of(index).exists()
    reader.index.query("BEGIN")
    reader.index.query("SELECT count(*) FROM cells")
    Store(tmp_path).close()  # the reader is in its way: the log cannot be brought into the file
    store = Store(tmp_path)
    store.commit(origin(), [cell("c")])
    store.close()
    assert not seal_of(index).exists()
    assert fsck(tmp_path, index).findings == []
    reader.index.query("COMMIT")
    reader.close()
    assert fsck(tmp_path, index).findings == []
    assert seal_of(index).read_bytes() != first


def test_fsck_beside_writers_and_kills_raises_no_false_alarm(tmp_path):
    """Four processes write with one index, one after the other is killed, and fsck looks all the while."""
    folder, children, looks = tmp_path / "store", [], 0
    dice = random.Random(0)

    def write(number: int) -> None:
        for n in range(1000):
            store = Store(folder)
            store.commit(origin(run=f"{number}"), [cell(f"{os.getpid()}-{n}")])
            store.close()

    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        while len(children) < 4:
            child = os.fork()
            if child == 0:
                try:
                    write(len(children))
                finally:
                    os._exit(0)
            children.append(child)
        if folder.exists():
            assert fsck(folder, folder / "index.sqlite", sample=0.01).findings == []
            looks += 1
        if dice.random() < 0.3:
            child = children.pop(0)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert looks > 3
    assert fsck(folder, folder / "index.sqlite").findings == []


def worker(folder: Path, index: Path, log: Path) -> None:
    """A run on a machine of its own: claims, looks again, computes, commits; comes back to what others held."""
    claims, waiting = ShardFolder(folder).claims(), CHUNKS
    while waiting:
        left = []
        for chunk in waiting:
            with claims.take(map(key, chunk)) as mine:
                store = Store(folder, index)
                done = store.statuses(map(key, chunk))
                missing = [name for name in chunk if key(name) in mine and key(name) not in done]
                if missing:
                    with log.open("a") as file:
                        file.write("".join(f"{name}\n" for name in missing))
                    time.sleep(0.05)
                    store.commit(origin(run=index.stem), [computed(name) for name in missing])
                store.close()
            left.append([name for name in chunk if key(name) not in mine])
        waiting = [chunk for chunk in left if chunk]


def test_two_machines_share_the_work_and_commit_nothing_twice(tmp_path, whole):
    log = tmp_path / "log"
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                worker(tmp_path / "store", tmp_path / f"{number % 2}.sqlite", log)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    store = Store(tmp_path / "store", tmp_path / "0.sqlite")
    assert content(store) == whole
    assert store.info()["duplicates"] == 0
    assert sorted(log.read_text().split()) == sorted(NAMES)


def test_a_dead_holders_claim_is_free_at_once(tmp_path):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        with Claims(tmp_path / "claims").take([key("a"), key("b")]):
            os.write(write, b"held")
            time.sleep(60)
        os._exit(0)
    assert os.read(read, 4) == b"held"
    mine = Claims(tmp_path / "claims")
    with mine.take([key("a"), key("c")]) as got:
        assert got == {key("c")}
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    started = time.monotonic()
    with mine.take([key("a"), key("b")]) as got:
        assert got == {key("a"), key("b")}
    assert time.monotonic() - started < 5


def test_claims_of_two_threads_keep_each_other_out(tmp_path):
    one, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    with one.take([key("a")]) as first, other.take([key("a")]) as second:
        assert (first, second) == ({key("a")}, set())
    with other.take([key("a")]) as second:
        assert second == {key("a")}
