"""What Prefect knows of a workspace: its last flow runs and those that are running now."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

from bigfusion.flows.engine.configuration import FLOWS, configure, has_server, server_url, set_defaults
from bigfusion.flows.project.settings import Project

log = logging.getLogger("bigfusion")

_LOOKED_AT = 100


def flow_runs(project: Project, last: int = 8) -> list[dict[str, Any]]:
    """The workspace's last flow runs, those to come and the newest first: flow, name, state, when, how long.

    Asked of the configured server (none that answers is a warning), or of the database that the commands' temporary
    servers leave in the workspace; a run there that is marked as running while nobody works on the workspace has died.
    """
    workspace = project.files
    database = workspace.prefect_home / "prefect.db"
    set_defaults()
    if not has_server():
        if not database.exists():
            return []
        configure(PREFECT_HOME=str(workspace.prefect_home.resolve()))
    try:
        found, names = asyncio.run(_read())
    except httpx.HTTPError as error:
        log.warning("status: %s: no answer of Prefect's server: %s", server_url(), str(error).split("\n", 1)[0])
        return []
    alive = has_server() or workspace.holder() is not None
    mine = [run for run in found if _workspace_of(run.parameters) == str(workspace.folder)]
    waiting = [run for run in mine if run.start_time is None and run.state is not None and run.state.is_scheduled()]
    later = [run for run in waiting if run.state.name == "Scheduled"][1:]  # of a schedule the next one is enough
    mine = [run for run in mine if run not in later and _worth_a_line(run)]
    return [
        {
            "flow": names[run.flow_id],
            "run": run.name,
            "id": str(run.id),
            "state": _state(run, alive),
            "start": _when(run),
            "seconds": round(run.total_run_time.total_seconds(), 1),
            "message": "" if run.state is None else run.state.message or "",
        }
        for run in mine[:last]
    ]


async def _read() -> tuple[list[Any], dict[Any, str]]:
    """Runs of our flows, first those to come, then those that began, the last one first; and their flows' names."""
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

    scheduled = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
    others = FlowRunFilterStateType(not_any_=[StateType.SCHEDULED])
    wanted = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    async with PrefectClient(_api()) as client:

        async def read(kind: FlowRunFilterStateType, sort: FlowRunSort) -> list[Any]:
            state = FlowRunFilter(state=FlowRunFilterState(type=kind))
            return await client.read_flow_runs(flow_filter=wanted, flow_run_filter=state, sort=sort, limit=_LOOKED_AT)

        to_come = await read(scheduled, FlowRunSort.EXPECTED_START_TIME_ASC)
        begun = await read(others, FlowRunSort.START_TIME_DESC)
        begun.sort(key=lambda run: run.start_time is not None)  # those that a worker has just taken come first
        return [*to_come, *begun], {flow.id: flow.name for flow in await client.read_flows(flow_filter=wanted)}


def _api() -> Any:
    """The server's address, or the server itself within this process on the workspace's database."""
    if url := server_url():
        return url
    from prefect.server.api.server import create_app

    return create_app(ephemeral=True)


def _workspace_of(parameters: dict[str, Any]) -> str:
    project = parameters.get("project")
    workspace = project.get("workspace") if isinstance(project, dict) else None
    return str(workspace.get("path")) if isinstance(workspace, dict) else ""


def _worth_a_line(run: Any) -> bool:
    """Of a run's own runs those that are over and well are left out: a retrain has dozens of partitions."""
    return run.parent_task_run_id is None or run.state is None or not run.state.is_completed()


def _when(run: Any) -> str | None:
    """When a run began, or is to begin."""
    moment = run.start_time or run.expected_start_time
    return None if moment is None else str(moment.isoformat(timespec="seconds"))


def _state(run: Any, alive: bool) -> str:
    name = "Pending" if run.state is None else str(run.state.name)
    return f"{name} (died)" if name in ("Running", "Pending") and not alive else name
