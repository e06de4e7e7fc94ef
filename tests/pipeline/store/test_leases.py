"""Claims in a bucket: no two machines ever hold one cell, and what a dead one held is free in seconds."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.leases import Leases
from bigfusion.pipeline.store.store import Store
from tests.helpers.memory_objects import Memory
from tests.helpers.toy_store import content, key

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


@pytest.mark.slow
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


@pytest.mark.slow
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


DAY = 86400.0


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_living_holder_keeps_its_cells_when_the_stores_clock_jumps(jump):
    objects = Memory(0)
    with Leases(objects, lease=0.5, pulse=0.1).take(["a"]):
        other = Leases(objects, lease=0.5, pulse=0.1)
        with other.take(["b"]):
            objects.ahead = jump
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            with other.take(["a", "b"]) as mine:
                assert mine == {"b"}


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_dead_holders_cells_are_free_in_seconds_though_the_stores_clock_jumps(jump):
    """Set back by a day, the clock would make its last sign of life one of tomorrow."""
    objects = Memory(0)
    objects.write("claims/dead", b'{"holds": true, "cells": ["a"]}')
    objects.ahead = jump
    begun = time.monotonic()
    while True:  # each chunk looks anew
        with Leases(objects, lease=0.5, pulse=0.1).take(["a"]) as mine:
            if mine:
                break
        assert time.monotonic() - begun < 10
    assert objects.entries("claims") == []
