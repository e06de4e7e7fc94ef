"""Threads: results in order, errors and Ctrl-C at once, the libraries' own settings put back."""

import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from bigfusion.extractors.compute import (
    check,
    cores,
    device_named,
    give_back,
    opencv_threads,
    side_by_side,
    torch_threads,
)
from bigfusion.pipeline.errors import ExtractionError


def test_results_come_in_the_items_order_and_every_item_is_reported() -> None:
    finished: list[int] = []

    def work(item: int, stop: threading.Event) -> int:
        time.sleep(0.01 * (5 - item % 5))
        return item * item

    assert side_by_side(work, range(12), 4, finished.append) == [item * item for item in range(12)]
    assert sorted(finished) == list(range(12))
    assert side_by_side(work, [], 4) == []


def test_items_run_at_the_same_time() -> None:
    together = threading.Barrier(3)
    assert side_by_side(lambda item, stop: together.wait(5) >= 0, range(3), 3) == [True] * 3


def test_reports_come_in_the_calling_thread() -> None:
    threads: set[int] = set()
    side_by_side(lambda item, stop: item, range(4), 2, lambda item: threads.add(threading.get_ident()))
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_or_ctrl_c_ends_everything_soon(error: type[BaseException]) -> None:
    begun: list[int] = []

    def work(item: int, stop: threading.Event) -> None:
        begun.append(item)
        if item == 0:
            return
        for _ in range(1000):
            check(stop)
            time.sleep(0.01)

    def finished(item: int) -> None:
        raise error

    before = time.monotonic()
    with pytest.raises(error):
        side_by_side(work, range(50), 2, finished)
    assert time.monotonic() - before < 2
    assert len(begun) < 5
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("extract")]


@pytest.mark.parametrize("library", [torch_threads, opencv_threads])
def test_a_librarys_threads_are_lent_and_put_back(library: object) -> None:
    assert library in (torch_threads, opencv_threads)
    lent = torch_threads if library is torch_threads else opencv_threads
    before = lent._read()
    with lent.held_at(before + 2):
        assert lent._read() == before + 2
        with lent.held_at(1):  # another extractor meanwhile
            assert lent._read() == 1
        assert lent._read() == 1  # the last to leave puts it back
    assert lent._read() == before
    with pytest.raises(ValueError, match="inside"), lent.held_at(before + 1):
        raise ValueError("inside")
    assert lent._read() == before


def test_cores() -> None:
    assert cores() >= 1


def test_devices() -> None:
    assert device_named("cpu") == torch.device("cpu")
    assert device_named("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(ExtractionError, match=name):
            device_named(name)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and glibc's allocator")
def test_freed_memory_between_blocks_in_use_goes_back_to_the_system() -> None:
    def private() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 2**10

    kept: list[np.ndarray] = []

    def fill(number: int, stop: threading.Event) -> None:
        blocks = [np.ones(12_000) for _ in range(600)]  # 56 MiB in blocks that are too small for pages of their own
        kept.extend(blocks[::100])
        kept.append(blocks[-1])

    side_by_side(fill, range(1), 1)
    before = private()
    give_back()
    assert before - private() > 30
    assert len(kept) == 7
    assert all(block.sum() == 12_000 for block in kept)
