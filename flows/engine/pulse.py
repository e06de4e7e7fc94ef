"""The flow runs of a workspace that Prefect knows: the latest ones and those that are running now."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

from bigfusion.flows.engine.configuration import FLOWS, configure, has_server, server_url, set_defaults
from bigfusion.flows.engine.flow_runs import LOOKED_AT, FlowRun, of_database, workspace_of
from bigfusion.flows.engine.sources import may_name_server
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.readonly import writable
from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

_SCHEDULED = "SCHEDULED"


def flow_runs(project: Project, last: int = 8) -> list[dict[str, Any]]:
    """The workspace's latest flow runs: first those to come, then the newest, each with flow, name, state and times.

    They come from the configured server (if it does not answer, a warning is logged), or from the database that the
    commands' temporary servers leave in the workspace. In that database a run may be marked as running although no
    process works on the workspace: then it has died.
    """
    workspace = project.files
    set_defaults()
    server = has_server() if may_name_server() else False
    found = _asked() if server else _left(workspace.prefect_home / "prefect.db")
    alive = server or workspace.holder() is not None
    mine = [run for run in found if run.workspace == str(workspace.folder)]
    waiting = [run for run in mine if run.start is None and run.state_type == _SCHEDULED]
    later = [run for run in waiting if run.state == "Scheduled"][1:]  # for a schedule, show only the next run
    mine = [run for run in mine if run not in later and _worth_a_line(run)]
    mine.sort(key=lambda run: run.state_type != _SCHEDULED and run.start is not None)  # just taken by a worker: first
    return [
        {
            "flow": run.flow,
            "run": run.name,
            "id": run.id,
            "state": _state(run, alive),
            "start": _when(run),
            "seconds": round(run.seconds, 1),
            "message": run.message,
        }
        for run in mine[:last]
    ]


def _left(database: Path) -> list[FlowRun]:
    """The runs in the database of this workspace's own servers."""
    if not database.exists():
        return []
    try:
        return of_database(database, FLOWS)
    except (sqlite3.Error, ValueError) as error:  # from another version of Prefect, which can read its own database
        if not writable(database):  # Prefect would write into it
            log.warning("status: %s: the flow runs are not known: %s", database, error)
            return []
        log.debug("status: %s: %s; Prefect reads it", database, error)
        configure(PREFECT_HOME=str(database.parent.resolve()))
        return _asked()


def _asked() -> list[FlowRun]:
    """The runs that Prefect's server reports. Without a configured server, it runs within this process."""
    import httpx

    try:
        return asyncio.run(_read())
    except httpx.HTTPError as error:
        log.warning("status: %s: no answer of Prefect's server: %s", server_url(), reason(error))
        return []


async def _read() -> list[FlowRun]:
    """Runs of our flows: first those to come, then those that have begun, the latest first."""
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import (
        FlowFilter,
        FlowFilterName,
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    # What `get_client` sends of itself; but without a server that one starts a process.
    credentials = {"auth_string": PREFECT_API_AUTH_STRING.value(), "api_key": PREFECT_API_KEY.value()}
    scheduled = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
    others = FlowRunFilterStateType(not_any_=[StateType.SCHEDULED])
    wanted = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    async with PrefectClient(_api(), **credentials) as client:

        async def read(kind: FlowRunFilterStateType, sort: FlowRunSort) -> list[Any]:
            state = FlowRunFilter(state=FlowRunFilterState(type=kind))
            return await client.read_flow_runs(flow_filter=wanted, flow_run_filter=state, sort=sort, limit=LOOKED_AT)

        to_come = await read(scheduled, FlowRunSort.EXPECTED_START_TIME_ASC)
        begun = await read(others, FlowRunSort.START_TIME_DESC)
        names = {flow.id: flow.name for flow in await client.read_flows(flow_filter=wanted)}
        return [_told(run, names[run.flow_id]) for run in [*to_come, *begun]]


def _told(run: Any, flow: str) -> FlowRun:
    """A flow run, made from the object of the server's client."""
    return FlowRun(
        flow=flow,
        name=run.name,
        id=str(run.id),
        state_type="" if run.state is None else run.state.type.value,
        state="Pending" if run.state is None else str(run.state.name),
        message="" if run.state is None else run.state.message or "",
        start=run.start_time,
        expected=run.expected_start_time,
        seconds=run.total_run_time.total_seconds(),
        workspace=workspace_of(run.parameters),
        child=run.parent_task_run_id is not None,
    )


def _api() -> Any:
    """The address of the server. Without one, a server within this process, on the workspace's database."""
    if url := server_url():
        return url
    from prefect.server.api.server import create_app

    return create_app(ephemeral=True)


def _worth_a_line(run: FlowRun) -> bool:
    """Whether to show a run. Completed child runs are left out, because a retrain has dozens of partitions."""
    return not run.child or run.state_type != "COMPLETED"


def _when(run: FlowRun) -> str | None:
    """When a run began or will begin."""
    moment = run.start or run.expected
    return None if moment is None else moment.isoformat(timespec="seconds")


def _state(run: FlowRun, alive: bool) -> str:
    return f"{run.state} (died)" if run.state in ("Running", "Pending") and not alive else run.state
