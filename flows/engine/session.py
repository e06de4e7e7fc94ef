"""Prefect for the command line: a quiet temporary server for this workspace, with clean-up after a kill."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import httpx

from bigfusion.flows.engine import database
from bigfusion.flows.engine.configuration import FLOWS, configured, server_url, set_defaults
from bigfusion.flows.engine.full_disk import watched
from bigfusion.flows.engine.home import end_orphaned_servers, served
from bigfusion.flows.engine.server import await_server, reporting_to_served, temporary_server
from bigfusion.flows.progress import waiting
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.workspace import Workspace
from bigfusion.pipeline.errors import HeldError, SettingsError
from bigfusion.pipeline.words import reason

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

log = logging.getLogger("bigfusion")

PATIENCE_SECONDS = 60.0
"""Seconds that a worker's run waits for the workspace. After that it leaves the work to the run that holds it."""

P = ParamSpec("P")
T = TypeVar("T")

_own_homes: set[Path] = set()  # homes whose database only this process uses


@contextmanager
def prefect(workspace: Workspace, meanwhile: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Run flows in this block, alone in the workspace.

    The flows report to the user's server, if one is configured. Otherwise they report to the server of `bigfusion
    serve` on this workspace. If there is none either, a temporary server is started on a home in the workspace. What
    a killed command may have left there is ended: a server process, and runs marked as running. ``meanwhile`` is
    called before the block, while the temporary server starts.

    Raises:
        SettingsError: the server does not answer in time, or stops answering.
    """
    set_defaults()
    with workspace.exclusive(), ExitStack() as hold:
        if url := server_url():
            await_server(url)
            meanwhile()
        elif url := served(workspace):
            hold.enter_context(reporting_to_served(workspace, url))
            meanwhile()
        else:
            with waiting("starting Prefect"):
                url = hold.enter_context(_of_our_own(workspace, meanwhile))
        try:
            yield
        except httpx.HTTPError as error:
            raise SettingsError(
                f"{url}: expected Prefect's server to answer, found: {reason(error)}; see that it runs, then run"
                " the same command again: what is finished is kept"
            ) from error


@contextmanager
def _of_our_own(workspace: Workspace, meanwhile: Callable[[], None]) -> Iterator[str]:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    home = workspace.prefect_home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    end_orphaned_servers(home)
    database.free_slots(home)
    with configured(PREFECT_HOME=str(home)), watched(home), temporary_server(home, meanwhile) as url:
        _own_homes.add(home)
        try:
            # Nothing here reads heartbeats, and each flow would wait at its end for the thread that sends them.
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                yield url
        finally:
            _own_homes.discard(home)


def alone(work: Callable[Concatenate[Project, P], T]) -> Callable[Concatenate[Project, P], T | State[Any]]:
    """Make a flow's function hold the workspace, unless the run's parent holds it, in any process or machine.

    If another run holds the workspace, this one waits. On workers it waits only :data:`PATIENCE_SECONDS` and then ends
    as "Skipped", because a waiting run would occupy the slot that the other's partitions need.
    """

    @wraps(work)
    def held(project: Project, /, *given: P.args, **named: P.kwargs) -> T | State[Any]:
        if _has_parent():
            return work(project, *given, **named)
        with ExitStack() as hold:
            try:
                patience = PATIENCE_SECONDS if project.runner.kind == "workers" else math.inf
                hold.enter_context(project.files.exclusive(patience))
            except HeldError as error:
                from prefect.states import Completed

                log.warning("%s: skipped: %s", work.__name__, error)
                return Completed(name="Skipped", message=str(error))
            return work(project, *given, **named)

    return held


def _has_parent() -> bool:
    """Whether another flow run started this one. Then the parent holds the workspace."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    return run is not None and run.parent_task_run_id is not None


def end_abandoned_runs() -> int:
    """Mark runs as crashed that a killed command left as running. Returns how many, without the calling flow.

    This works only within :func:`prefect` on the workspace's own database. On any other database, runs marked as
    running may really run.
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
