"""One machine without workers: serve the deployments from one process."""

from __future__ import annotations

import signal
from typing import Any

from prefect.client.schemas.schedules import CronSchedule

from bigfusion.flows.engine.deployments import TAG, set_slots, version
from bigfusion.flows.project.settings import Project
from bigfusion.flows.stopping import Stopped


def serve_deployments(project: Project, name: str, schedule: CronSchedule | None, limit: int = 2) -> None:
    """Serve the deployments until interrupted, with at most ``limit`` runs at once. A server must be configured."""
    from prefect import serve as prefect_serve
    from prefect.client.orchestration import get_client
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from bigfusion.flows.stages.evaluate import evaluate
    from bigfusion.flows.stages.extract import extract
    from bigfusion.flows.stages.ingest import ingest
    from bigfusion.flows.stages.retrain import retrain
    from bigfusion.flows.stages.train import train

    with get_client(sync_client=True) as client:
        set_slots(client, 0)
    common: dict[str, Any] = {
        "parameters": {"project": project.parameters()},
        "tags": [TAG, name],
        "version": version(),
        "entrypoint_type": EntrypointType.MODULE_PATH,
    }
    when = None if schedule is None else Cron(schedule.cron, timezone=schedule.timezone)
    flows: list[Any] = [ingest, extract, train, evaluate]
    served = [flow.to_deployment(name, **common) for flow in flows]
    served.append(retrain.to_deployment(name, schedule=when, **common))
    try:
        prefect_serve(*served, limit=limit, print_starting_message=False)
    except SystemExit:  # Prefect turns SIGTERM into this
        raise Stopped(signal.SIGTERM) from None
