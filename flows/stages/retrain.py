"""The flow ``retrain``: ingest, extract, train, evaluate, promote. Each stage does only what changed, and says why."""

from __future__ import annotations

import logging

from prefect import flow

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.handout import Job, parameters, wait_for
from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.engine.session import alone, end_abandoned_runs
from bigfusion.flows.project import promotion, runs
from bigfusion.flows.project.outlook import outlook
from bigfusion.flows.project.project import Project
from bigfusion.flows.stages.evaluate import evaluate
from bigfusion.flows.stages.extract import extraction
from bigfusion.flows.stages.ingest import ingest
from bigfusion.flows.stages.train import train
from bigfusion.pipeline.errors import TrainingError

log = logging.getLogger("bigfusion")


@flow(name="retrain", flow_run_name="retrain {project.name}", **HOOKS)
@alone
def retrain(project: Project, retry_failed: bool = False) -> str:
    """The whole road. Returns the run's id; the run becomes the current model unless validation speaks against it.

    Raises:
        BigFusionError: a stage failed; what it finished is kept, and the next run goes on from there.
    """
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
    manifest, planned, run = runs.present(project)
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
