"""A bucket under faults: dropped, stalled, refused and lost answers cost nothing, or are one clear line."""

import errno
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store import bucket, shards
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.store import Store
from tests.helpers.memory_objects import Memory
from tests.helpers.s3_server import BUSY, DENIED, DROP, STALL, Proxy
from tests.helpers.toy_store import NAMES, cell, content, fill, key, origin


@pytest.mark.slow
def test_an_object_that_changes_or_goes_while_it_is_read_begins_as_one_version_or_is_not_there(url):
    """The client asks for its size first, then for so many bytes. Where the object was replaced in between, the end is
    missing, or is whatever lay in memory: what matters has a digest of its own.
    """
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
            assert any(payload.startswith(version[: len(payload)]) for version in versions), payload[:100]
            found["read"] += 1
    finally:
        over.set()
        changing.join()
    assert min(found.values()) > 3


@pytest.mark.slow
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
