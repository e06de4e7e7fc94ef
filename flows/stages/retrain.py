"""The flow ``retrain``: ingest, extract, train, evaluate, promote. Each stage does only what changed and logs why."""

from __future__ import annotations

import logging

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.handout import Job, parameters, wait_for
from bigfusion.flows.engine.session import alone, end_abandoned_runs
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.project import promotion
from bigfusion.flows.project.preflight import preflight, require
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing, handed, handed_on, keep_scanned, look
from bigfusion.flows.stages.evaluate import evaluate
from bigfusion.flows.stages.extract import extraction
from bigfusion.flows.stages.ingest import ingest
from bigfusion.flows.stages.train import train
from bigfusion.pipeline.errors import TrainingError

log = logging.getLogger("bigfusion")


@stage("retrain {project.name}")
@alone
def retrain(project: Project, retry_failed: bool = False) -> str:
    """Run all stages. Returns the run's id. The run becomes the current model unless its validation score is worse.

    Raises:
        BigFusionError: a stage failed. Its finished work is kept, and the next run continues from there.
    """
    end_abandoned_runs()
    standing = handed(project)
    if standing is None:  # from a worker or a schedule: no command has looked yet
        standing = look(project, retry_failed)
        require(preflight(project, standing.plan))
    return do_what_is_pending(project, standing, retry_failed)


def do_what_is_pending(project: Project, standing: Standing, retry_failed: bool) -> str:
    """Run the pending stages of a standing, within a flow run, up to the decision on the run. Returns the run's id.

    Raises:
        BigFusionError: a stage failed. Its finished work is kept, and the next run continues from there.
    """
    if not standing.pending:
        keep_scanned(project, standing)
        standing.say_nothing_to_do()
        artifacts.plan(project, standing.plan)
        artifacts.results(project, standing.run)
        return standing.run.id
    with handed_on(project, standing):
        ingest(project)
        extraction(project)(project, retry_failed)
    extracted = standing.after_extraction(project)
    with handed_on(project, extracted):
        _train(project)
    with handed_on(project, extracted.after_training(project)):
        evaluate(project)
    if extracted.trial:
        log.info("promote: %s", promotion.said_of_trial(extracted.run, extracted.trial))
    elif not extracted.run.folds:
        promotion.settle(project, extracted.manifest, extracted.plan, extracted.run)
    return extracted.run.id


def _train(project: Project) -> None:
    """Train in this process, or on a worker of the deployment ``train``."""
    if project.runner.kind != "workers":
        train(project)
        return
    job = Job(f"train {project.name}", f"train/{project.runner.deployment}", parameters(project))
    for error in wait_for([job], project.runner.attempts):
        raise TrainingError(f"{error}; what it finished is kept: run the same again to go on")
