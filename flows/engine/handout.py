"""Runs of deployments that workers take, waited for, and handed out again where a worker dies.

Prefect notices a dead worker by the heartbeats of its flow runs: an automation that `bigfusion deploy` sets up marks
such a run as crashed. What the dead worker finished is on disk, so that its run is gone on with, not begun anew.

A server that is busy, restarted or away for a while ends nothing: its workers go on, and so does the waiting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment

from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

_POLL_SECONDS = 2.0
_LONGEST_PAUSE = 60.0
PATIENCE_SECONDS = 1800.0
"""How long a server may give no answer but errors that may pass."""

T = TypeVar("T")


@dataclass
class Job:
    """One run of ``deployment``, and how often it was handed out."""

    name: str
    deployment: str
    parameters: dict[str, Any]
    attempt: int = 0
    run: UUID | None = None

    def hand_out(self) -> None:
        """Schedule a run of it as a child of the present flow run. The server makes one, however often it is asked.

        Raises:
            SettingsError: the deployment's parameters are another version's.
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


def _detail(error: httpx.HTTPStatusError) -> str:
    """What the server says of a refusal."""
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error).split("\n", 1)[0]


def passes(error: Exception) -> bool:
    """Whether a call that ended like this may soon end otherwise: no connection, a busy server, an inner fault."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def patiently(call: Callable[[], T], patience: float = PATIENCE_SECONDS) -> T:
    """What ``call`` of the server's returns, called again after 1, 2, 4, ... at most 60 s while its error may pass.

    Raises:
        httpx.HTTPError: the server refuses, or has given no answer for ``patience`` seconds.
    """
    deadline, pause = time.monotonic() + patience, 1.0
    while True:
        try:
            return call()
        except httpx.HTTPError as error:
            if not passes(error) or time.monotonic() + pause > deadline:
                raise
            log.warning("Prefect's server: %s; asked again in %.0f s", str(error).split("\n", 1)[0], pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


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
                state = patiently(lambda run=job.run: client.read_flow_run(run)).state  # type: ignore[misc]
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
