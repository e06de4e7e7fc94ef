"""Prefect's home under a workspace belongs to one server at a time: to a lasting one, or to the command at work.

Whoever keeps a lasting server (`bigfusion serve`) holds the home's lock for as long, and has its address beside it. The
lock is taken under the workspace's: whoever holds that one and finds the home free has it to itself.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bigfusion.flows.project.workspace import REMEDY, Workspace, exclusive, holder
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

_ADDRESS = "address"


def served(workspace: Workspace) -> str | None:
    """The address of the lasting server on the workspace's home, which may still be starting, if there is one."""
    home = workspace.prefect_home.resolve()
    return (home / _ADDRESS).read_text() if holder(home) is not None else None


@contextmanager
def kept(workspace: Workspace, url: str) -> Iterator[Path]:
    """The workspace's home, for a lasting server at ``url``; waits for a command that has it.

    Raises:
        SettingsError: another lasting server has it.
    """
    home = workspace.prefect_home.resolve()
    _refuse(workspace)  # before waiting: that server's own runs may be at work on the workspace for hours
    with ExitStack() as hold:
        with workspace.exclusive():
            _refuse(workspace)
            hold.enter_context(exclusive(home, REMEDY))
            end_orphaned_servers(home)
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
    """End Prefect servers on ``home``, which this process has to itself: whoever started them is dead."""
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
        except (OSError, ValueError):  # it has ended meanwhile, or is not ours to look at
            continue


def _is_server(command: Sequence[bytes]) -> bool:
    """Whether a command line is a Prefect server's: a temporary one (uvicorn on its app), or `prefect server start`."""
    names = [part.rpartition(b"/")[2] for part in command]
    started = any(names[at : at + 3] == [b"prefect", b"server", b"start"] for at in range(len(names)))
    return started or any(part.startswith(b"prefect.server.api.server:") for part in command)
