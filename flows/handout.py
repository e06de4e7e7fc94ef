"""Runs of deployments that workers take, waited for, and handed out again where a worker dies.

Prefect notices a dead worker by the heartbeats of its flow runs: an automation that `bigfusion deploy` sets up marks
such a run as crashed. What the dead worker finished is on disk, so that its run is gone on with, not begun anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment

from flows.project import Project

log = logging.getLogger("bigfusion")

_POLL_SECONDS = 2.0


@dataclass
class Job:
    """One run of ``deployment``, and how often it was handed out."""

    name: str
    deployment: str
    parameters: dict[str, Any]
    attempt: int = 0
    run: UUID | None = None

    def hand_out(self) -> None:
        """Schedule a run of it as a child of the present flow run."""
        self.attempt += 1
        flow_run: Any = run_deployment(self.deployment, parameters=self.parameters, timeout=0)
        self.run = flow_run.id


def parameters(project: Project, **more: Any) -> dict[str, Any]:
    """A deployment's parameters: the frozen settings as JSON, meant for the worker that takes the run."""
    here = project.model_copy(update={"runner": project.runner.model_copy(update={"kind": "local"})})
    return {"project": here.model_dump(mode="json"), **more}


def wait_for(jobs: Sequence[Job], attempts: int, progress: Callable[[int], None] = lambda done: None) -> list[str]:
    """Hand out all ``jobs`` and wait until each is over. Returns a line for each that failed.

    A job whose run crashed is handed out again, ``attempts`` times in all.
    """
    waiting, errors = list(jobs), []
    for job in waiting:
        job.hand_out()
    with get_client(sync_client=True) as client:
        while waiting:
            time.sleep(_POLL_SECONDS)
            for job in list(waiting):
                assert job.run is not None
                state = client.read_flow_run(job.run).state
                if state is None or not state.is_final():
                    continue
                if state.type is StateType.CRASHED and job.attempt < attempts:
                    log.warning("%s: its worker died (%s); handed out again", job.name, state.message)
                    job.hand_out()
                    continue
                waiting.remove(job)
                progress(len(jobs) - len(waiting))
                if not state.is_completed():
                    errors.append(f"{job.name}: {state.name}: {state.message}")
    return errors
