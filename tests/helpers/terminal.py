"""A command in a pseudo-terminal: Ctrl-C typed into it, signals to its process group, and what it leaves running."""

import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = "━"


class Terminal:
    """``bigfusion ARGUMENTS`` in the foreground of a new pseudo-terminal, as a shell would start it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.mark = f"BIGFUSION_TEST_MARK={os.getpid()}-{time.monotonic_ns()}"
        name, value = self.mark.split("=")
        command = [sys.executable, "-m", "bigfusion.flows.cli", *arguments]
        variables = plain | {"PYTHONPATH": str(Path.cwd())} | environment | {name: value}
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(command[0], command, variables)
        self.shown = ""
        self.code: int | None = None

    def wait_until(self, there: Callable[[], object], seconds: float = 240) -> None:
        """Go on reading the screen until something is so."""
        deadline = time.monotonic() + seconds
        while not there():
            assert self._alive(), self.shown
            assert time.monotonic() < deadline, self.shown
            self._read(0.05)

    def type(self, keys: bytes) -> None:
        """Type keys: the terminal makes SIGINT of Ctrl-C, for every process in its foreground."""
        os.write(self.screen, keys)

    def kill_group(self, number: signal.Signals) -> None:
        """``kill -NUMBER -- -PGID``."""
        os.killpg(self.pid, number)

    def end(self, seconds: float = 60) -> float:
        """Wait for the command's end. Returns how long it took."""
        started = time.monotonic()
        while self._alive():
            assert time.monotonic() < started + seconds, self.shown
            self._read(0.05)
        taken = time.monotonic() - started
        self._read(0)
        os.close(self.screen)
        return taken

    def lines(self) -> list[str]:
        """What the screen shows, line by line, without progress bars and without what moves the cursor."""
        plain = _MOVES.sub("", self.shown.replace("\r\n", "\n"))
        rows = (row.rsplit("\r", 1)[-1].strip() for row in plain.split("\n"))
        return [row for row in rows if row and _BAR not in row]

    def left_running(self) -> list[str]:
        """Processes that the command has started, directly or not."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
            except OSError:
                continue
            if self.mark.encode() in environment and command:
                found.append(f"{process.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
        return found

    def _alive(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def _read(self, seconds: float) -> None:
        while select.select([self.screen], [], [], seconds)[0]:
            try:
                read = os.read(self.screen, 65536)
            except OSError:  # the terminal's other end is closed
                return
            if not read:
                return
            self.shown += read.decode(errors="replace")
            seconds = 0
