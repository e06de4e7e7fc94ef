"""A store in an S3 bucket, on a real server on the loopback: all that a store in a folder does, and what may fail."""

import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.toy_store import cell, content, key, origin

pytest.importorskip("moto")
from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store import bucket, shards
from bigfusion.pipeline.store.cache import ShardCache
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.leases import Leases
from bigfusion.pipeline.store.needs import decode_reach, encode_reach
from bigfusion.pipeline.store.objects import Entry
from bigfusion.pipeline.store.store import Store
from tests.helpers.s3_server import BUSY, CREDENTIALS, DENIED, DROP, STALL, Proxy, server


@pytest.fixture(scope="module")
def s3():
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    with server() as running:
        yield running
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def url(s3) -> str:
    """The address of an empty store."""
    return s3.new(f"b{uuid.uuid4().hex[:12]}")


NAMES = [f"{kind}{n}" for kind in "ab" for n in range(5)]


def fill(store: Store) -> None:
    for n in range(5):
        second = cell(f"b{n}", status=Status.SILENT, reason="flat") if n == 4 else cell(f"b{n}", (n, 1, 1))
        store.commit(origin(run=f"r{n}", created=f"2026-01-0{n + 1}"), [cell(f"a{n}", (n, 0, 0)), second])


def damage(url: str, name: str) -> None:
    objects = ShardFolder(url).objects
    payload = bytearray(objects.read(f"audio/{name}"))
    payload[len(payload) // 2] ^= 16
    objects.write(f"audio/{name}", bytes(payload))


def test_a_bucket_holds_what_a_folder_holds(url, tmp_path):
    local, far = Store(tmp_path / "local"), Store(url, tmp_path / "far.sqlite")
    fill(local)
    fill(far)
    assert far.folder.names() == local.folder.names()
    assert content(far) == content(local)
    assert far.state(Modality.AUDIO) == local.state(Modality.AUDIO)
    far.close()
    report = fsck(url, tmp_path / "far.sqlite")
    assert (report.shards, report.checked, report.cells, report.findings) == (5, 5, 10, [])
    assert content(Store(url, tmp_path / "another machine/index.sqlite")) == content(local)
    assert (tmp_path / "another machine/shards").is_dir()
    with pytest.raises(StoreError, match="place for the index"):
        Store(url)
    beside = Store(url.replace("/store?", "/store2?"), tmp_path / "beside.sqlite")
    assert beside.folder.names() == set()


def test_compaction_gc_and_lists_of_needs(url, tmp_path):
    store = Store(url, tmp_path / "index.sqlite")
    fill(store)
    before, first = content(store), store.folder.names()
    (merged,) = compact(store)
    store.folder.publish("w", encode_reach(map(key, NAMES)))
    assert store.folder.published("nobody") == b""
    ((place, payload),) = store.folder.needs()
    assert place.startswith("s3://b")
    assert find_garbage(store, decode_reach(payload, place), grace=3600).items == []
    garbage = find_garbage(store, decode_reach(payload, place), grace=0)
    assert {item.name for item in garbage.items} == first
    remove(store, garbage)
    assert store.folder.names() == {merged}
    assert content(Store(url, tmp_path / "other.sqlite")) == before
    assert fsck(url, tmp_path / "index.sqlite").findings == []


def test_a_flipped_bit_of_an_object_is_found_and_repaired(url, tmp_path):
    store = Store(url, tmp_path / "index.sqlite")
    fill(store)
    victim = sorted(store.folder.names())[2]
    held = store.shard(victim).fingerprints
    damage(url, victim)
    assert content(store)[held[0]]  # this machine has a sound copy
    with pytest.raises(DamagedShardError, match="expected SHA-256"):
        Store(url, tmp_path / "index.sqlite", cache=0).read(Modality.AUDIO, held)
    store.close()
    assert [found.item for found in fsck(url, tmp_path / "index.sqlite").findings] == [victim]
    report = fsck(url, tmp_path / "index.sqlite", repair=True)
    assert report.set_aside == [f"{url.partition('?')[0]}/damaged/{victim}"]
    assert fsck(url, tmp_path / "index.sqlite").findings == []
    store = Store(url, tmp_path / "index.sqlite")
    assert store.statuses(held) == {}
    assert [entry.key for entry in store.folder.damaged()] == [f"damaged/{victim}"]
    store.commit(origin(), [cell("again")])


def test_copies_on_this_machine_are_bounded_and_checked(tmp_path, caplog):
    cache, made = ShardCache(tmp_path / "shards", 40_000), []
    for n in range(12):
        name, payload = shards.encode([origin()], [cell(f"{n}", np.zeros(1000, np.float32) + n)])
        made.append((name, payload))
        cache.keep(name, payload)
        os.utime(tmp_path / "shards" / name, (n, n)) if n else None
        assert sum(path.stat().st_size for path in (tmp_path / "shards").iterdir()) <= 40_000
    there = [cache.read(name) == payload for name, payload in made]
    assert there[-3:] == [True] * 3
    assert there[1:4] == [False] * 3
    name, payload = made[-1]
    (tmp_path / "shards" / name).write_bytes(payload[:-1] + b"!")
    assert cache.read(name) is None
    assert "damaged; fetched again" in caplog.text
    assert not (tmp_path / "shards" / name).exists()
    ShardCache(tmp_path / "none", 0).keep(name, payload)
    assert not (tmp_path / "none").exists()


def test_an_object_that_changes_or_goes_while_it_is_read_is_whole_or_not_there(url):
    """The client asks for its size first, then for so many bytes."""
    objects, over = ShardFolder(url).objects, threading.Event()
    versions = [b"short", b"a longer one" * 3000]

    def change() -> None:
        while not over.is_set():
            for version in versions:
                objects.write("claims/x", version)
            objects.remove(["claims/x"])

    changing = threading.Thread(target=change)
    changing.start()
    found = {"gone": 0, "read": 0}
    try:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            try:
                payload = objects.read("claims/x")
            except FileNotFoundError:
                found["gone"] += 1
                continue
            assert any(version.startswith(payload) for version in versions)  # what matters has a digest of its own
            found["read"] += 1
    finally:
        over.set()
        changing.join()
    assert min(found.values()) > 3


def test_what_was_fetched_once_is_not_fetched_again(s3, tmp_path):
    proxy = Proxy(s3)
    url = s3.new(f"b{uuid.uuid4().hex[:12]}")
    fill(Store(url, tmp_path / "writer/index.sqlite"))
    through = url.replace(f":{s3.port}", f":{proxy.port}")
    reader = Store(through, tmp_path / "reader/index.sqlite")
    before = content(reader)
    proxy.shutdown()
    proxy.server_close()
    reader.folder.objects = SimpleNamespace(readers=4)  # nothing is asked of the bucket
    assert content(reader) == before


def test_a_passing_fault_is_tried_again_and_a_lasting_one_is_a_line(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "_ATTEMPTS", 3)  # less waiting
    proxy = Proxy(s3)
    url = s3.new(f"b{uuid.uuid4().hex[:12]}", proxy.port)
    proxy.faults += [DROP, BUSY]
    store = Store(url, tmp_path / "index.sqlite", cache=0)
    fill(store)
    assert proxy.failed == 2
    with pytest.raises(StoreError) as told:
        proxy.faults += [DENIED] * 30
        Store(url, tmp_path / "new.sqlite")
    assert "AWS_ACCESS_KEY_ID" in str(told.value) or "ACCESS_DENIED" in str(told.value)
    assert "\n" not in str(told.value)
    proxy.faults.clear()
    proxy.shutdown()
    proxy.server_close()
    for act in (
        store.refresh,
        lambda: store.commit(origin(), [cell("new")]),
        lambda: store.read(Modality.AUDIO, [key("a1")]),
        lambda: find_garbage(store, [], grace=0),
        lambda: fsck(url, tmp_path / "index.sqlite"),
        lambda: compact(store),
    ):
        started = time.monotonic()
        with pytest.raises(StoreError, match="NETWORK_CONNECTION") as told:
            act()
        assert "\n" not in str(told.value)
        assert time.monotonic() - started < 30
    there = Store(url.replace(f":{proxy.port}", f":{s3.port}"), tmp_path / "index.sqlite")
    assert content(there).keys() == {key(name) for name in NAMES}


def test_a_missing_bucket_is_a_line(url, tmp_path):
    nowhere = url.replace("s3://b", "s3://no-such-b")
    with pytest.raises(StoreError, match="NO_SUCH_BUCKET") as told:
        Store(nowhere, tmp_path / "none.sqlite").commit(origin(), [cell("a")])
    assert "\n" not in str(told.value)
    Store(url, tmp_path / "index.sqlite").commit(origin(), [cell("a")])
    with pytest.raises(StoreError, match="found nothing there"):
        Store(nowhere, tmp_path / "index.sqlite")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3://key:secret@bucket/x", "credentials in it"),
        ("s3://", "expected s3://BUCKET"),
        ("s3://UPPER/x", "expected s3://BUCKET"),
        ("s3://bucket/a/../b", "without empty, . and .."),
        ("s3://bucket/a//b", "without empty, . and .."),
        ("s3://bucket/x?access_key=1", "found access_key"),
        ("s3://bucket/x#y", "without a #"),
        ("s3://bucket/x?region=eu-central-1#", "without a #"),
        ("s3://bucket/x?endpoint_override=http://key:secret@host:9000", "credentials in it"),
        ("s3://bucket/x?endpoint_override=key:secret@host", "credentials in it"),
    ],
)
def test_what_is_no_address(text, problem):
    with pytest.raises(ValueError, match=problem) as told:
        bucket.address(text)
    assert "secret" not in str(told.value)


def test_addresses():
    found = bucket.address("s3://meld-features/lab/one?endpoint_override=http://minio:9000&region=eu-central-1")
    assert found == bucket.Address("meld-features", "lab/one", "minio:9000", "eu-central-1", "http")
    assert bucket.address("s3://abc").key("audio/x") == "abc/audio/x"


WORKER = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from tests.helpers.toy_extraction import CHUNKS, computed
from tests.helpers.toy_store import key, origin
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.store import Store

url, index, log = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
claims, waiting = ShardFolder(url).claims(), CHUNKS
while waiting:
    left = []
    for chunk in waiting:
        with claims.take(map(key, chunk)) as mine:
            store = Store(url, index)
            done = store.statuses(map(key, chunk))
            missing = [name for name in chunk if key(name) in mine and key(name) not in done]
            if missing:
                with log.open("a") as file:
                    file.write("".join(f"{{name}}\\n" for name in missing))
                time.sleep(0.2)
                store.commit(origin(run=index.stem), [computed(name) for name in missing])
            store.close(settle=False)
        left.append([name for name in chunk if key(name) not in mine])
    waiting = [chunk for chunk in left if chunk]
    time.sleep(0.3)
"""


def test_two_machines_share_the_work_and_commit_nothing_twice(url, tmp_path):
    code = WORKER.format(paths=[str(Path.cwd()), *(str(Path.cwd() / part) for part in ("tests/pipeline",))])
    workers = [
        subprocess.Popen([sys.executable, "-c", code, url, str(tmp_path / f"{n % 2}/index.sqlite"), tmp_path / "log"])
        for n in range(3)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0] * 3
    store = Store(url, tmp_path / "0/index.sqlite")
    names = [f"{chunk}-{n}" for chunk in range(3) for n in range(3)]
    assert content(store).keys() == {key(name) for name in names}
    assert store.info()["duplicates"] == 0
    assert sorted((tmp_path / "log").read_text().split()) == names
    assert store.folder.objects.names("claims") == []


def test_a_dead_holders_cells_are_free_in_seconds(url):
    code = f"""
import sys, time
sys.path[:0] = [{str(Path.cwd())!r}]
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.leases import Leases
with Leases(ShardFolder({url!r}).objects, pulse=0.5).take([{key("a")!r}, {key("b")!r}]) as mine:
    print(len(mine), flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "2"
    mine = Leases(ShardFolder(url).objects, lease=3, pulse=0.5)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # it is alive, for longer than a lease
        with mine.take([key("a"), key("c")]) as got:
            assert got == {key("c")}
    child.send_signal(signal.SIGKILL)
    child.wait()
    died = time.monotonic()
    while True:
        with mine.take([key("a"), key("b")]) as got:
            if got:
                break
    assert got == {key("a"), key("b")}
    assert time.monotonic() - died < 10
    assert ShardFolder(url).objects.names("claims") == []


def test_a_kill_during_an_upload_leaves_nothing(s3, tmp_path):
    proxy = Proxy(s3)
    url = s3.new(f"b{uuid.uuid4().hex[:12]}", proxy.port)
    code = f"""
import sys
sys.path[:0] = [{str(Path.cwd())!r}]
from bigfusion.pipeline.store.folder import ShardFolder
ShardFolder({url!r}).objects.names("audio")
print("ready", flush=True)
input()
ShardFolder({url!r}).objects.write("audio/x", bytes(30_000_000))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    proxy.faults += [STALL] * 50
    child.stdin.write("\n")
    child.stdin.flush()
    deadline = time.monotonic() + 30
    while not proxy.failed and time.monotonic() < deadline:  # the upload has begun
        time.sleep(0.05)
    assert proxy.failed
    time.sleep(0.5)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    proxy.faults.clear()
    assert ShardFolder(url).objects.names("audio") == []


class Memory:
    """Objects in memory that show at once what was written, and let other threads run between any two steps."""

    def __init__(self, seed: int) -> None:
        self._objects, self._lock, self._dice = {}, threading.Lock(), random.Random(seed)

    def _pause(self) -> None:
        time.sleep(self._dice.random() * 0.003)

    def entries(self, folder):
        self._pause()
        with self._lock:
            found = [Entry(key, len(payload), when) for key, (payload, when) in self._objects.items()]
        self._pause()
        return found

    def read(self, key):
        self._pause()
        with self._lock:
            if key not in self._objects:
                raise FileNotFoundError(key)
            return self._objects[key][0]

    def write(self, key, payload):
        self._pause()
        with self._lock:
            self._objects[key] = (payload, time.time())
        self._pause()

    def remove(self, keys):
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def shown(self, key):
        return key


def test_who_was_taken_for_dead_looks_again_before_it_takes_anything():
    objects = Memory(0)
    objects.write("claims/other", b'{"holds": true, "cells": ["a"]}')
    listed, buried = objects.entries, []

    def entries(folder):
        if not buried:
            buried.extend(entry.key for entry in listed(folder) if entry.key != "claims/other")
            objects.remove(buried)
        return listed(folder)

    objects.entries = entries
    with Leases(objects).take(["a", "b"]) as mine:
        assert mine == {"b"}
    assert len(buried) == 1


@pytest.mark.parametrize("seed", range(6))
def test_no_two_holders_ever_have_one_cell_and_somebody_has_each(seed):
    objects, held, lock, dice = Memory(seed), {}, threading.Lock(), random.Random(seed)
    start, rounds, errors = threading.Barrier(6), [set() for _ in range(6)], []
    cells = [f"{n:064x}" for n in range(8)]
    wants = [dice.sample(cells, 5) for _ in range(6)]

    def hold(number: int) -> None:
        try:
            start.wait()
            with Leases(objects).take(wants[number]) as mine:
                with lock:
                    for name in mine:
                        assert name not in held, "two holders"
                        held[name] = number
                rounds[number] = mine
                start.wait()  # all hold at the same time
        except BaseException as error:
            errors.append(error)
            start.abort()

    threads = [threading.Thread(target=hold, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert errors == []
    assert set(held) == set().union(*wants)
    assert objects.entries("claims") == []


class Failing(Memory):
    """A bucket in memory of which one operation fails: before it has any effect, or once it has had it."""

    readers = 2

    def __init__(self) -> None:
        super().__init__(0)
        self.count, self.fails, self.late = 0, 0, False

    def _pause(self) -> None:
        return None

    def _step(self, effect):
        self.count += 1
        if self.count != self.fails:
            return effect()
        if self.late:
            effect()
        raise OSError(errno.EIO, "PutObject: NETWORK_CONNECTION", "s3://bucket/key")

    def there(self):
        return True

    def names(self, folder):
        return [entry.key.partition("/")[2] for entry in self.entries(folder)]

    def entries(self, folder):
        every = Memory.entries(self, folder)
        return self._step(lambda: [entry for entry in every if entry.key.startswith(f"{folder}/")])

    def read(self, key):
        return self._step(lambda: Memory.read(self, key))

    def write(self, key, payload):
        self._step(lambda: Memory.write(self, key, payload))

    def move(self, key, target):
        payload = Memory.read(self, key)
        self._step(lambda: Memory.write(self, target, payload))
        self.remove([key])

    def remove(self, keys):
        for one in keys:
            self._step(lambda one=one: Memory.remove(self, [one]))


def upkeep(index: Path) -> None:
    """Commit, merge, collect, and repair what is damaged."""
    store = Store("s3://bucket", index, cache=0)
    fill(store)
    compact(store)
    remove(store, find_garbage(store, [bytes.fromhex(key(name)) for name in NAMES], grace=0))
    store.close(settle=False)
    fsck("s3://bucket", index, repair=True)


def test_an_operation_that_fails_or_whose_answer_is_lost_costs_nothing(tmp_path, monkeypatch):
    def fresh() -> Failing:
        objects = Failing()
        name, payload = shards.encode([origin(run="bad")], [cell("lost")])
        objects.write(f"audio/{name}", payload[:-1] + b"X")
        objects.count = 0
        monkeypatch.setattr("bigfusion.pipeline.store.folder.Bucket", lambda url: objects)
        return objects

    objects = fresh()
    upkeep(tmp_path / "whole.sqlite")
    whole, steps = content(Store("s3://bucket", tmp_path / "whole.sqlite", cache=0)), objects.count
    assert len(objects.names("damaged")) == 1
    assert steps > 50
    for number in range(1, steps - 10, 2):
        objects = fresh()
        objects.fails, objects.late = number, number % 4 == 1
        index = tmp_path / f"{number}.sqlite"
        try:
            upkeep(index)
        except StoreError as error:
            assert "\n" not in str(error)
        objects.fails = 0
        upkeep(index)
        assert content(Store("s3://bucket", index, cache=0)) == whole, number
        assert fsck("s3://bucket", index).findings == []
