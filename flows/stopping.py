"""Ctrl-C and SIGTERM: a stopped command prints one line, has a known exit code, and ends within seconds.

The first signal unwinds the command: it removes temporary files, frees its locks and ends the servers that it started.
A library may delay this, for instance because it retries a connection. After :data:`GRACE_SECONDS` the process ends in
any case. Nothing is lost, because every file that the project keeps on disk is complete or absent.

Python calls a signal's handler when the main thread is between two of its own steps, so one long call of C (a solver, a
file system that hangs) puts the first stage off. The second does not wait for it: a thread reads the byte that the C
part of Python writes as soon as a signal comes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 7.0
"""Seconds that a stopped command has to finish."""

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_last_acts: list[Callable[[], None]] = []
_wakeups: list[int] = []
"""Where the signals of each block of :func:`stoppable` under way are written."""
_put_off: list[int | None] = []
"""For each block of :func:`undivided` under way, the signal that came in it."""


class Stopped(KeyboardInterrupt):
    """The user, a batch system or a stopping container asks the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__(_WORDS[signal.Signals(number)])
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Stopped` in this block on SIGINT and SIGTERM. Further signals are ignored."""
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield
        return
    stopped = False
    timed = threading.Lock()

    def end_in_time(number: int) -> None:
        if timed.acquire(blocking=False):  # never released: one countdown is enough
            _end_in_time(number)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            end_in_time(number)
            if _put_off:
                _put_off[0] = number
            else:
                raise Stopped(number)

    def come(number: int) -> None:
        if signal.getsignal(number) is stop:  # else a library handles this signal, and the command may go on
            end_in_time(number)

    with _watched(come):
        before = {number: signal.signal(number, stop) for number in _WORDS}
        try:
            yield
        finally:
            if not stopped:  # after a stop, the handlers stay until the process has ended
                for number, handler in before.items():
                    signal.signal(number, handler)


@contextmanager
def _watched(come: Callable[[int], None]) -> Iterator[None]:
    """Call ``come`` in a thread with each signal as soon as it comes, whatever the main thread does meanwhile."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def watch() -> None:
        while number := os.read(reading, 1)[0]:
            come(number)

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    _wakeups.append(writing)
    try:
        yield
    finally:
        _wakeups.remove(writing)
        _give_back(writing, before)
        os.write(writing, b"\0")  # no signal: the end. A forked child may hold the pipe open, so closing does not tell
        watcher.join()
        os.close(reading)
        os.close(writing)


def _give_back(ours: int, before: int) -> None:
    """Have signals written to ``before`` again, unless somebody else (an event loop) has taken them over since."""
    found = signal.set_wakeup_fd(before)
    if found not in (ours, -1):
        signal.set_wakeup_fd(found)


def _leave_wakeups() -> None:
    """In a forked child: its signals are none of the parent's, whose pipe it shares."""
    for ours in _wakeups:
        _give_back(ours, -1)
    _wakeups.clear()


os.register_at_fork(after_in_child=_leave_wakeups)


@contextmanager
def undivided() -> Iterator[None]:
    """Put a stop off to the end of this block. For short acts of two steps, as to start a process and remember it."""
    if threading.current_thread() is not threading.main_thread():  # a stop is the main thread's, and never comes here
        yield
        return
    _put_off.append(None)
    try:
        yield
    finally:
        number = _put_off.pop()
    if number is not None:
        raise Stopped(number)


def say(stopped: BaseException) -> int:
    """Tell the user that the command was stopped. Returns its exit code."""
    number = stopped.number if isinstance(stopped, Stopped) else signal.SIGINT
    print(_line(number), file=sys.stderr, flush=True)
    return 128 + number


@contextmanager
def on_forced_end(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` if the process is forced to end within this block, so that the block's own end is never reached."""
    _last_acts.append(act)
    try:
        yield
    finally:
        _last_acts.remove(act)


def _end_in_time(number: int) -> None:
    watch = threading.Timer(GRACE_SECONDS, end_at_once, [_line(number), 128 + number])
    watch.daemon = True
    watch.start()


def end_at_once(line: str, code: int) -> NoReturn:
    """End the process without unwinding, from any thread: do what :func:`on_forced_end` names and print ``line``."""
    for act in reversed(_last_acts):
        with suppress(Exception):
            act()
    import multiprocessing

    for process in multiprocessing.active_children():
        process.kill()
    if threading.main_thread().is_alive():  # otherwise the line is printed, and only the interpreter is still ending
        print(line, file=sys.__stderr__, flush=True)  # past the progress bars, whose locks may be held
    os._exit(code)


def _line(number: int) -> str:
    return f"{_WORDS[signal.Signals(number)]}; what is finished is kept, the same command goes on from there"
