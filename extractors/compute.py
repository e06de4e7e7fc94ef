"""How the extractors use the machine: threads of our own, the libraries' threads, the device.

No feature depends on it.

A library that splits one computation over all cores waits for the slowest part again and again. Two such pools on two
cores, or one pool on a busy machine, take many times as long as the computation itself. Therefore clips and batches are
computed side by side, one thread for each, and every library is limited to one thread.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from bigfusion.pipeline.errors import ExtractionError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    work: Callable[[Item, threading.Event], Result],
    items: Sequence[Item],
    threads: int,
    finished: Callable[[Item], None] = lambda item: None,
) -> list[Result]:
    """Run ``work(item, stop)`` for every item on ``threads`` threads. Results are in the items' order.

    The first error (Ctrl-C included) sets ``stop`` and drops the items that have not begun. It is raised when the
    running items have noticed ``stop`` (see :func:`check`). ``finished(item)`` is called in the calling thread for each
    item that is done.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="extract")
    waiting = iter(range(len(items)))
    running: dict[Future[Result], int] = {}
    results: dict[int, Result] = {}
    try:
        while True:
            # Submit only a few at a time: a pool computes what it has been given even while the interpreter exits.
            for index in islice(waiting, 2 * threads - len(running)):
                running[pool.submit(work, items[index], stop)] = index
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                index = running.pop(future)
                results[index] = future.result()
                finished(items[index])
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    return [results[index] for index in range(len(items))]


def give_back() -> None:
    """Return freed memory that glibc's allocator keeps for later to the system. Elsewhere nothing happens.

    Each thread has an arena of its own. Clips of ever new lengths leave gaps in it that only larger clips would fill.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


def check(stop: threading.Event) -> None:
    """Raise CancelledError if ``stop`` is set: nobody waits for the result any more."""
    if stop.is_set():
        raise CancelledError


class _LibraryThreads:
    """A library's process-wide number of threads, changed while somebody computes. The last user restores it."""

    def __init__(self, library: str, read: str, write: str) -> None:
        self._library, self._read_name, self._write_name = library, read, write
        self._lock = threading.Lock()
        self._users = 0
        self._before = 0

    def _read(self) -> int:
        return int(getattr(import_module(self._library), self._read_name)())

    def _write(self, count: int) -> None:
        getattr(import_module(self._library), self._write_name)(count)

    @contextmanager
    def held_at(self, count: int) -> Iterator[None]:
        """Set the number of threads during a block."""
        with self._lock:
            if self._users == 0:
                self._before = self._read()
            self._users += 1
            self._write(count)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._write(self._before)


torch_threads = _LibraryThreads("torch", "get_num_threads", "set_num_threads")
opencv_threads = _LibraryThreads("cv2", "getNumThreads", "setNumThreads")


def device_named(name: str) -> torch.device:
    """The device that a name means: ``"auto"`` (CUDA if there is a GPU), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ExtractionError: it is not a device's name, or this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ExtractionError(f"device {name!r}: expected auto, cpu, cuda or cuda:N; correct the setting") from None
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ExtractionError(
            f"device {name!r}: found {torch.cuda.device_count()} CUDA devices; set device to auto or cpu"
        )
    return device


def to_device(array: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """``array`` as a tensor on ``device``. A GPU copies it from pinned memory, so that no thread waits for the copy.

    PyTorch keeps the pinned block until the copy is complete.
    """
    import torch

    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
