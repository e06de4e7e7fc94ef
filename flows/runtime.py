"""Prefect under the command line: an ephemeral server of this workspace's own, quiet, and tidied after a kill.

Import this before anything of Prefect's: its settings are read on import. A configured server (``PREFECT_API_URL``)
and every other setting of the user's are left as they are.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.project import Project
from flows.workspace import Workspace

log = logging.getLogger("bigfusion")

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a first start builds the database: 10-20 s
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors reach the user as one line; --debug shows the rest
    "PREFECT_LOGGING_EXTRA_LOGGERS": "bigfusion",
    "PREFECT_CLI_PROMPT": "false",
}


SLOT = "gpu"
"""The global concurrency limit that a training holds; it binds where a server has it (`bigfusion deploy` makes it)."""


def has_server() -> bool:
    """Whether the user has a Prefect server of their own."""
    return "PREFECT_API_URL" in os.environ


def set_defaults() -> None:
    """Set what the user has not set of Prefect's settings: no telemetry, no noise, time enough to start."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect(workspace: Workspace) -> Iterator[None]:
    """Run flows in this block, alone in the workspace.

    Without a server of the user's, an ephemeral one is started by Prefect itself on a home under the workspace; what
    a killed command has left there (a server process, runs marked as running) is ended first.
    """
    set_defaults()
    with workspace.exclusive():
        if not has_server():
            home = workspace.prefect_home.resolve()
            os.environ["PREFECT_HOME"] = str(home)
            home.mkdir(parents=True, exist_ok=True)
            end_orphaned_servers(home)
        yield


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Hold the workspace within a flow, unless its parent run does, be it in another process or on another machine."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is not None and run.parent_task_run_id is not None:
        yield
        return
    with Workspace(project).exclusive():
        yield


def end_abandoned_runs() -> int:
    """Mark runs that a killed command left as running as crashed. Only sound on a server of the workspace's own.

    Returns how many there were. Called within a flow, which is not counted.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.context import get_run_context
    from prefect.states import Crashed

    own = get_run_context().flow_run.id  # type: ignore[union-attr]
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    message = "its process ended without a word (killed, or the machine stopped)"
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=states))
        left = [run for run in runs if run.id != own]
        for run in left:
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return len(left)


def end_orphaned_servers(home: Path) -> None:
    """End Prefect servers on ``home``: this process holds the workspace, so whoever started them is dead."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if b"prefect" not in command or f"PREFECT_HOME={home}".encode() not in (process / "environ").read_bytes():
                continue
            number = int(process.name)
            if number == os.getpid():
                continue
            os.kill(number, signal.SIGTERM)
            log.warning("ended process %d: a Prefect server that a killed command had left behind", number)
        except (OSError, ValueError):  # it has ended meanwhile, or is not ours to look at
            continue
