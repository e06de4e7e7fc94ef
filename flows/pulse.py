"""What Prefect knows of a workspace: its last flow runs and those that are running now."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx

from flows.project import Project
from flows.runtime import FLOWS, configure, has_server, server_url, set_defaults
from flows.workspace import Workspace

log = logging.getLogger("bigfusion")

_LOOKED_AT = 100


def flow_runs(project: Project, last: int = 8) -> list[dict[str, Any]]:
    """The workspace's last flow runs, newest first: flow, name, state, when it began and how long it took.

    Asked of the configured server (none that answers is a warning), or of the database that the commands' temporary
    servers leave in the workspace; a run there that is marked as running while nobody works on the workspace has died.
    """
    workspace = Workspace(project)
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
    return [
        {
            "flow": names[run.flow_id],
            "run": run.name,
            "id": str(run.id),
            "state": _state(run, alive),
            "start": None if run.start_time is None else run.start_time.isoformat(timespec="seconds"),
            "seconds": round(run.total_run_time.total_seconds(), 1),
            "message": "" if run.state is None else run.state.message or "",
        }
        for run in mine[:last]
    ]


async def _read() -> tuple[list[Any], dict[Any, str]]:
    """The last runs of our flows, and their flows' names."""
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    async with PrefectClient(_api()) as client:
        wanted = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
        found = await client.read_flow_runs(flow_filter=wanted, sort=FlowRunSort.START_TIME_DESC, limit=_LOOKED_AT)
        return found, {flow.id: flow.name for flow in await client.read_flows(flow_filter=wanted)}


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


def _state(run: Any, alive: bool) -> str:
    name = "Pending" if run.state is None else str(run.state.name)
    return f"{name} (died)" if name in ("Running", "Pending") and not alive else name
