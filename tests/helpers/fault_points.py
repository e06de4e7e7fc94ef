"""Faults in a forked process: a kill, an error or a short write at the n-th operation on files or on the index.

Every call of the operating system that :mod:`pipeline.atomic` and :mod:`store.folder` make (open, write, fsync,
replace, unlink) and every statement that goes to SQLite is one point. For faults in SQLite's own writes there is
:func:`limited`: the kernel then refuses to let any file grow beyond a size.
"""

import io
import multiprocessing
import os
import pickle
import resource
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle

from bigfusion.pipeline.errors import BigFusionError
from bigfusion.pipeline.store import index

KILLED, FINE, REFUSED, BROKEN = -signal.SIGKILL, 0, 7, 1
CALLS = ("open", "write", "fsync", "replace", "unlink")
ALL_CALLS = (*CALLS, "scandir", "stat", "mkdir", "utime")
"""Those of upkeep beside; the reading of a whole file is one more, ``read``."""


_SMALL = multiprocessing.get_context("forkserver")
_SMALL.set_forkserver_preload(["tests.helpers.small_process"])


def forked(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> int:
    """``work`` in a process of its own: 0, 7 where it raised an error that a user can act on, or the signal.

    It is forked from a small process (:mod:`tests.helpers.small_process`), to which the functions are sent.
    """
    cloudpickle.register_pickle_by_value(sys.modules[work.__module__])  # or a process would import the test's module
    hears, tells = _SMALL.Pipe(duplex=False)
    with hears, tells:
        process = _SMALL.Process(target=_ended, args=(cloudpickle.dumps((work, before)), tells))
        process.start()
        process.join()
        if process.exitcode == BROKEN:
            print(hears.recv())
    return process.exitcode


def _ended(pickled: bytes, tells: Connection) -> None:
    """Run what :func:`forked` has sent, and end. What breaks is told to the test: its error output is not ours."""
    work, before = pickle.loads(pickled)
    code = BROKEN
    try:
        before()
        work()
        code = FINE
    except BigFusionError:
        code = REFUSED
    except Exception:
        tells.send(traceback.format_exc())
    finally:
        os._exit(code)


def at_each_point(act: Callable[[str, int, tuple], object], under: Path, calls: tuple[str, ...] = CALLS) -> None:
    """Call ``act(name, number, arguments)`` before every operation of this process, the first being number 1.

    ``act`` may return a replacement for the operation's result; ``None`` lets it happen.
    """
    count = 0
    real = {name: getattr(os, name) for name in calls}
    real_open = io.open

    def wrapped(name: str) -> Callable:
        def call(*args, **kwargs):
            nonlocal count
            if name not in ("write", "fsync") and not str(args[0]).startswith(str(under)):
                return real[name](*args, **kwargs)
            count += 1
            found = act(name, count, args)
            return real[name](*args, **kwargs) if found is None else found

        return call

    for name in calls:
        setattr(os, name, wrapped(name))

    def opened(file, *args, **kwargs):
        nonlocal count
        if str(file).startswith(str(under)):
            count += 1
            act("read", count, (file, *args))
        return real_open(file, *args, **kwargs)

    if calls is ALL_CALLS:
        io.open = opened  # pathlib's

    class Connection(sqlite3.Connection):
        def execute(self, statement, *args):
            nonlocal count
            count += 1
            act(statement.split(maxsplit=1)[0] if statement.strip() else "", count, (statement,))
            return super().execute(statement, *args)

        def executemany(self, statement, *args):
            nonlocal count
            count += 1
            act("executemany", count, (statement,))
            return super().executemany(statement, *args)

    connect = sqlite3.connect
    index.sqlite3 = type(
        "sqlite3", (), {**vars(sqlite3), "connect": lambda *a, **k: connect(*a, factory=Connection, **k)}
    )


def counted(work: Callable[[], object], under: Path, calls: tuple[str, ...] = CALLS) -> list[str]:
    """The operations that ``work`` makes, in order."""
    record = under.parent / f"{under.name}.trace"

    def noting() -> None:
        file, write = os.open(record, os.O_CREAT | os.O_WRONLY | os.O_APPEND), os.write
        at_each_point(lambda name, number, args: write(file, f"{name}\n".encode()) and None, under, calls)

    assert forked(work, noting) == FINE
    return record.read_text().splitlines()


def limited(size: int) -> None:
    """No file of this process may grow beyond ``size`` bytes (EFBIG, and SQLite's own error)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
