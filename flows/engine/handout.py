"""Hand runs of deployments out to workers, wait for them, and hand a run out again if its worker dies.

Prefect notices a dead worker by the missing heartbeats of its flow runs: an automation that `bigfusion deploy` sets up
marks such a run as crashed. The work that the dead worker finished is on disk, and the new run continues from there.

A server that is busy, restarted or away for a while stops nothing: the workers go on, and this process waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.deployments import run_deployment
from prefect.states import Scheduled

from bigfusion.flows.engine.patience import patiently
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import SettingsError
from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

_POLL_SECONDS = 2.0
_AHEAD = timedelta(minutes=5)


@dataclass
class Job:
    """A run of ``deployment``, with the number of times it was handed out."""

    name: str
    deployment: str
    parameters: dict[str, Any]
    attempt: int = 0
    run: UUID | None = None

    def hand_out(self) -> None:
        """Schedule a run as a child of the present flow run. The server makes only one run, even if it is asked again.

        Raises:
            SettingsError: the deployment has the parameters of another version.
        """
        self.attempt += 1
        key = uuid4().hex
        try:
            flow_run: Any = patiently(
                lambda: run_deployment(
                    self.deployment, parameters=self.parameters, timeout=0, idempotency_key=key, flow_run_name=self.name
                )
            )
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in (409, 422):
                raise
            raise SettingsError(
                f"{self.deployment}: expected a deployment that takes the settings of this version, found"
                f" {_detail(error)}; run `bigfusion deploy` again"
            ) from error
        self.run = flow_run.id


def _make_due(client: SyncPrefectClient, job: Job, state: State[Any] | None) -> None:
    """Make a run due that a worker would take only tomorrow: the clock was set back after it was handed out."""
    planned = None if state is None or not state.is_scheduled() else state.state_details.scheduled_time
    if planned is not None and planned > datetime.now(UTC) + _AHEAD:
        log.warning(
            "%s: due at %s only, so the clock was set back; made due now", job.name, f"{planned:%Y-%m-%d %H:%M}"
        )
        run = job.run
        assert run is not None
        patiently(lambda: client.set_flow_run_state(run, Scheduled(scheduled_time=datetime.now(UTC)), force=True))


def _detail(error: httpx.HTTPStatusError) -> str:
    """The reason that the server gives for a refusal."""
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return reason(error)


def parameters(project: Project, **more: Any) -> dict[str, Any]:
    """A deployment's parameters: the frozen settings as JSON. The worker itself will compute (``kind`` local)."""
    here = project.model_copy(update={"runner": project.runner.model_copy(update={"kind": "local"})})
    return {"project": here.parameters(), **more}


def wait_for(jobs: Sequence[Job], attempts: int, progress: Callable[[int], None] = lambda done: None) -> list[str]:
    """Hand out all ``jobs`` and wait until each is over. Returns a line for each that failed.

    A job whose run crashed is handed out again, at most ``attempts`` times in all.
    """
    waiting, errors = list(jobs), []
    for job in waiting:
        job.hand_out()
    with get_client(sync_client=True) as client:
        while waiting:
            time.sleep(_POLL_SECONDS)
            for job in list(waiting):
                assert job.run is not None
                state = patiently(lambda run=job.run: client.read_flow_run(run)).state  # type: ignore[misc]
                if state is None or not state.is_final():
                    _make_due(client, job, state)
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
