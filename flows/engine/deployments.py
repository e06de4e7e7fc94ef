"""Deployments of a project: written to ``prefect.yaml`` beside its settings, and registered by Prefect's own command.

This also makes what deployments need on the server: the work pools, the concurrency limit ``gpu``, and the automation
that marks the runs of a dead worker as crashed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import prefect
import yaml
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

from bigfusion.flows.engine.configuration import EVERYWHERE, SLOT
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

TAG = "bigfusion"
AUTOMATION = "bigfusion: the worker of a run has died"
HEARTBEAT_SECONDS = 30  # the smallest value that Prefect accepts
LEASES_ON_DISK = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
_BEAT = "prefect.flow-run.heartbeat"
_OVER = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")
_HEADER = """\
# Written by `bigfusion deploy` from bigfusion.toml: change the settings there and deploy again. `prefect deploy --all`
# beside this file registers the same deployments.
"""


def version() -> str:
    """The commit of the source tree that holds this code, or the package's version if it lies in no such tree."""
    from bigfusion.flows.version import version as package

    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return package()
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout.strip() or package()


def definitions(project: Project, name: str, gpus: int, schedule: CronSchedule | None) -> dict[str, Any]:
    """``prefect.yaml`` as a table. With ``gpus``, pool ``gpu`` takes text, visual and training; ``cpu`` the rest.

    The server checks what is typed into the page of ``retrain``, at half a second of its processor for each run. The
    other flows check their parameters themselves: most of their runs are handed out by a program.
    """
    settings = project.parameters()
    settings["runner"] |= {"kind": "workers", "deployment": name}
    environment = _environment()

    def deployment(flow: str, pool: str, called: str = name) -> dict[str, Any]:
        return {
            "name": called,
            "entrypoint": f"bigfusion.flows.stages.{flow}.{flow}",
            "version": version(),
            "tags": [TAG, name],
            "parameters": {"project": settings},
            "enforce_parameter_schema": flow == "retrain",
            "work_pool": {"name": pool, "job_variables": {"env": environment}},
            "pull": [],
        }

    retrain = deployment("retrain", "cpu")
    if schedule is not None:
        retrain["schedules"] = [{"cron": schedule.cron, "timezone": schedule.timezone, "active": True}]
    parts = [deployment("partition", pool, f"{name}-{pool}") for pool in ("cpu", "gpu")[: 2 if gpus else 1]]
    for part in parts:
        part["parameters"] |= {"feature": "text", "number": 1, "parts": 1}  # placeholders; each hand-out replaces them
    return {
        "name": name,
        "prefect-version": prefect.__version__,
        "deployments": [
            retrain,
            deployment("ingest", "cpu"),
            deployment("extract", "cpu"),
            *parts,
            deployment("train", "gpu" if gpus else "cpu"),
            deployment("evaluate", "cpu"),
        ],
    }


def write(path: Path, table: dict[str, Any]) -> None:
    """Write ``prefect.yaml``."""
    text = yaml.safe_dump(table, sort_keys=False, allow_unicode=True, width=110)
    write_whole(path, (_HEADER + text).encode())


def register(path: Path, table: dict[str, Any], gpus: int, dead_after: float) -> list[str]:
    """Make what the deployments need on the configured server, then register them. Returns their full names.

    Raises:
        SettingsError: Prefect refuses them; the message ends with its last line of output.
    """
    try:
        with get_client(sync_client=True) as client:
            for pool in dict.fromkeys(deployment["work_pool"]["name"] for deployment in table["deployments"]):
                _make_pool(client, pool)
            set_slots(client, gpus)
            if _leases_in_memory(client):
                log.warning(
                    "deploy: the server keeps the leases of slots in its memory: if it is killed under a training, the"
                    " slot stays taken and later trainings wait for ever; start it with %s, and free the slot with"
                    " `prefect gcl update %s --active-slots 0`", LEASES_ON_DISK, SLOT,
                )  # fmt: skip
        _make_automation(timedelta(seconds=dead_after))
    except httpx.HTTPError as error:
        raise SettingsError(
            f"deploy: expected Prefect's server to take work pools, a limit and an automation, found {reason(error)};"
            " see PREFECT_API_URL and PREFECT_API_AUTH_STRING"
        ) from error
    command = [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ, cwd=path.parent)
    if ran.returncode:
        last = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]
        raise SettingsError(f"{path}: expected deployments that Prefect takes, found: {' '.join(last)}; correct them")
    return [f"{item['entrypoint'].rsplit('.', 1)[1]}/{item['name']}" for item in table["deployments"]]


def set_slots(client: SyncPrefectClient, gpus: int) -> None:
    """Let ``gpus`` trainings run at once (at least one). With ``gpus`` = 0 an existing limit stays unchanged."""
    try:
        client.read_global_concurrency_limit_by_name(SLOT)
        if gpus:
            client.update_global_concurrency_limit(SLOT, GlobalConcurrencyLimitUpdate(limit=gpus))
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=SLOT, limit=max(gpus, 1)))


def _leases_in_memory(client: SyncPrefectClient) -> bool:
    """Whether the server forgets at its end who holds a slot, while its database counts the slot as taken."""
    try:
        settings = cast(Any, client).request("GET", "/admin/settings").json()
        return str(settings["server"]["concurrency"]["lease_storage"]).endswith(".memory")
    except (httpx.HTTPError, ValueError, LookupError, TypeError):  # it does not tell
        return False


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    except ObjectAlreadyExists:  # a pool of another type, for instance Kubernetes, serves as well
        return


def _make_automation(dead_after: timedelta) -> None:
    """Mark a run as crashed if, after a heartbeat, neither another one nor its end follows within ``dead_after``."""
    trigger = EventTrigger(
        after={_BEAT},
        expect={_BEAT, *(f"prefect.flow-run.{state}" for state in _OVER)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=dead_after,
    )
    action = ChangeFlowRunState(
        name=None, state=StateType.CRASHED, message="no heartbeat: its worker has died", force=False
    )
    wanted = Automation(name=AUTOMATION, trigger=trigger, actions=[action])
    try:
        known = cast(Automation, Automation.read(name=AUTOMATION))
    except ValueError:
        cast(Any, wanted).create()
        return
    known.trigger, known.actions = wanted.trigger, wanted.actions
    cast(Any, known).update()


def _environment() -> dict[str, str]:
    """Variables that a run's process needs in addition to its worker's environment."""
    return {
        **EVERYWHERE,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # retries after 2, 4, ... 256 s: a server may be away for eight minutes
    }
