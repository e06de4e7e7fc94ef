"""The flow ``retrain``: ingest, extract, train, evaluate, promote. Each stage does only what changed, and says why."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import artifacts, learning, promotion
from flows.evaluate import evaluate
from flows.extract import extraction
from flows.handout import Job, parameters, wait_for
from flows.hooks import HOOKS
from flows.ingest import ingest
from flows.outlook import outlook
from flows.project import Project
from flows.runtime import alone, end_abandoned_runs
from flows.train import train
from pipeline.errors import HeldError, TrainingError

log = logging.getLogger("bigfusion")

PATIENCE_SECONDS = 60.0
"""How long a retrain among workers waits for the workspace before it leaves the work to who holds it."""


@flow(name="retrain", flow_run_name="retrain {project.name}", **HOOKS)
def retrain(project: Project, retry_failed: bool = False) -> str | State[Any]:
    """The whole road. Returns the run's id; the run becomes the current model unless validation speaks against it.

    On workers it ends as "Skipped" while another run is at work on the workspace: waiting, it would hold the slot that
    the other's partitions need.

    Raises:
        BigFusionError: a stage failed; what it finished is kept, and the next run goes on from there.
    """
    with ExitStack() as hold:
        try:
            hold.enter_context(alone(project, PATIENCE_SECONDS if project.runner.kind == "workers" else math.inf))
        except HeldError as error:
            log.warning("retrain: skipped: %s", error)
            return Completed(name="Skipped", message=str(error))
        end_abandoned_runs()
        found = outlook(project, retry_failed)
        if not found.pending:
            found.say_nothing_to_do()
            artifacts.plan(project, found.planned)
            artifacts.results(project, found.run)
            return found.run.id
        ingest(project)
        extraction(project)(project, retry_failed)
        _train(project)
        evaluate(project)
        manifest, planned, run = learning.present(project)
        promotion.settle(project, manifest, planned, run)
        return run.id


def _train(project: Project) -> None:
    """Train here, or where the deployment ``train`` has its worker."""
    if project.runner.kind != "workers":
        train(project)
        return
    job = Job(f"train {project.name}", f"train/{project.runner.deployment}", parameters(project))
    for error in wait_for([job], project.runner.attempts):
        raise TrainingError(f"{error}; what it finished is kept: run the same again to go on")
