"""Several processes at one store: what one computes no other does, and what a dead one held is free."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from bigfusion.pipeline.store.claims import Claims
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_extraction import CHUNKS, NAMES, computed
from tests.helpers.toy_store import cell, content, key, origin


@pytest.mark.slow
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
