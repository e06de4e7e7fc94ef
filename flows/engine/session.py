"""Prefect under the command line: an ephemeral server of this workspace's own, quiet, and tidied after a kill.

Import this before anything of Prefect's: its settings are read on import. A configured server (``PREFECT_API_URL``)
and every other setting of the user's are left as they are.
"""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from bigfusion.flows.engine.home import end_orphaned_servers, served
from bigfusion.flows.project.project import Project
from bigfusion.flows.project.workspace import Workspace
from bigfusion.pipeline.errors import HeldError, SettingsError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

log = logging.getLogger("bigfusion")

EVERYWHERE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "bigfusion",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",  # with 429, 502 and 503: a busy server's answers end no run
}
"""Prefect's settings of a command and of a worker's run alike."""

_STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
_NO_SERVER = "ephemeral Prefect API server"  # Prefect raises a bare RuntimeError
_DEFAULTS = {
    **EVERYWHERE,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    _STARTUP: "120",  # a first start builds the database: 10-20 s
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors reach the user as one line; --debug shows the rest
    "PREFECT_CLI_PROMPT": "false",
}


SLOT = "gpu"
"""The global concurrency limit that a training holds; it binds where a server has it (`bigfusion deploy` makes it)."""


PATIENCE_SECONDS = 60.0
"""How long a run among workers waits for the workspace before it leaves the work to who holds it."""

P = ParamSpec("P")
T = TypeVar("T")

FLOWS = ("retrain", "ingest", "extract", "partition", "train", "evaluate")

_own_homes: set[Path] = set()  # where this process has Prefect's database to itself


def server_url() -> str | None:
    """The API of the user's own Prefect server: from the environment, a profile, or wherever else Prefect looks."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def has_server() -> bool:
    """Whether the user has a Prefect server of their own."""
    return server_url() is not None


def configure(**settings: str) -> None:
    """Give Prefect settings, also where it has read its own already."""
    os.environ.update(settings)
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def set_defaults() -> None:
    """Set what the user has not set of Prefect's settings: no telemetry, no noise, time enough to start."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect(workspace: Workspace) -> Iterator[None]:
    """Run flows in this block, alone in the workspace.

    Without a server of the user's, they report to the one of a `bigfusion serve` on this workspace. Where there is none
    either, an ephemeral one is started by Prefect itself on a home under the workspace; what a killed command has left
    there (a server process, runs marked as running) is ended first.

    Raises:
        SettingsError: the server, whichever it is, does not answer in time.
    """
    from bigfusion.flows.engine.server import await_server, reporting_to_served

    set_defaults()
    with workspace.exclusive():
        if url := server_url():
            await_server(url)
            yield
            return
        if url := served(workspace):
            with reporting_to_served(workspace, url):
                yield
            return
        home = workspace.prefect_home.resolve()
        home.mkdir(parents=True, exist_ok=True)
        configure(PREFECT_HOME=str(home))
        end_orphaned_servers(home)
        _own_homes.add(home)
        try:
            yield
        except RuntimeError as error:
            if _NO_SERVER not in str(error):
                raise
            raise SettingsError(
                f"Prefect's temporary server: {' '.join(str(error).split())} Run the same command again, on a busy"
                f" machine with {_STARTUP}=600"
            ) from error
        finally:
            _own_homes.discard(home)


def alone(work: Callable[Concatenate[Project, P], T]) -> Callable[Concatenate[Project, P], T | State[Any]]:
    """A flow's function, made to hold the workspace, unless the run's parent does, in whatever process or machine.

    On workers the run ends as "Skipped" where another is at work on the workspace for :data:`PATIENCE_SECONDS`:
    waiting, it would fill the slot that the other's partitions need. Elsewhere it waits.
    """

    @wraps(work)
    def held(project: Project, /, *given: P.args, **named: P.kwargs) -> T | State[Any]:
        if _has_parent():
            return work(project, *given, **named)
        with ExitStack() as hold:
            try:
                patience = PATIENCE_SECONDS if project.runner.kind == "workers" else math.inf
                hold.enter_context(Workspace(project).exclusive(patience))
            except HeldError as error:
                from prefect.states import Completed

                log.warning("%s: skipped: %s", work.__name__, error)
                return Completed(name="Skipped", message=str(error))
            return work(project, *given, **named)

    return held


def _has_parent() -> bool:
    """Whether this flow run is another's: that one holds the workspace."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return run is not None and run.parent_task_run_id is not None


def end_abandoned_runs() -> int:
    """Mark runs that a killed command left as running as crashed. Does so only within :func:`prefect`, on a database of
    the workspace's own: on any other somebody else may be at work.

    Returns how many there were. Called within a flow, which is not counted.
    """
    if not _own_homes:
        return 0
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.context import get_run_context
    from prefect.states import Crashed

    own = get_run_context().flow_run.id  # type: ignore[union-attr]
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    message = "its process ended without a word (killed, or the machine stopped)"
    with get_client(sync_client=True) as client:
        ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
        runs = client.read_flow_runs(flow_filter=ours, flow_run_filter=FlowRunFilter(state=states))
        left = [run for run in runs if run.id != own]
        for run in left:
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
    return len(left)
