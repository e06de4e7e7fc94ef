"""Prefect's home in a workspace belongs to one server at a time: a lasting one, or that of the command at work.

A process with a lasting server (`bigfusion serve`) holds the lock of the home all the time and writes the server's
address beside it. It takes this lock while it holds the lock of the workspace. So a process that holds the workspace's
lock and finds the home free has the home for itself.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bigfusion.flows.engine import database
from bigfusion.flows.project.workspace import REMEDY, Workspace, exclusive, holder
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

_ADDRESS = "address"


def served(workspace: Workspace) -> str | None:
    """The address of the lasting server on the workspace's home, if there is one. The server may still be starting."""
    home = workspace.prefect_home.resolve()
    return (home / _ADDRESS).read_text() if holder(home) is not None else None


@contextmanager
def kept(workspace: Workspace, url: str) -> Iterator[Path]:
    """Hold the workspace's home for a lasting server at ``url``. Waits while a command holds it.

    Raises:
        SettingsError: another lasting server holds it.
    """
    home = workspace.prefect_home.resolve()
    _refuse(workspace)  # before waiting, because that server's runs may hold the workspace for hours
    with ExitStack() as hold:
        with workspace.exclusive():
            _refuse(workspace)
            hold.enter_context(exclusive(home, REMEDY))
            end_orphaned_servers(home)
            database.free_slots(home)
            (home / _ADDRESS).write_text(url)
        yield home


def _refuse(workspace: Workspace) -> None:
    home = workspace.prefect_home.resolve()
    if (process := holder(home)) is not None:
        raise SettingsError(
            f"{home}: expected no other server on this workspace, found process {process} at {served(workspace)};"
            " use that one, or end it first"
        )


def end_orphaned_servers(home: Path) -> None:
    """End Prefect servers on ``home``. This process holds the home alone, so whoever started them is dead."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
            if not _is_server(command) or b"PREFECT_HOME=" + os.fsencode(home) not in environment:
                continue
            number = int(process.name)
            if number == os.getpid():
                continue
            os.kill(number, signal.SIGTERM)
            log.warning("ended process %d: a Prefect server that a killed command had left behind", number)
        except (OSError, ValueError):  # the process has ended, or belongs to another user
            continue


def _is_server(command: Sequence[bytes]) -> bool:
    """Whether a command line is a Prefect server's: a temporary one (uvicorn on its app), or `prefect server start`."""
    names = [part.rpartition(b"/")[2] for part in command]
    started = any(names[at : at + 3] == [b"prefect", b"server", b"start"] for at in range(len(names)))
    return started or any(part.startswith(b"prefect.server.api.server:") for part in command)
