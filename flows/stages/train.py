"""The flow ``train``: one Prefect task for each seed. A run whose inputs are unchanged is skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.configuration import SLOT
from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.engine.session import alone
from bigfusion.flows.progress import bar, training, warn_of_neurons
from bigfusion.flows.project.runs import Run
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing, handed, load
from bigfusion.flows.project.workspace import REMEDY, exclusive
from bigfusion.flows.stages.chunks import BACKOFF, may_pass
from bigfusion.model.runs.folder import Epoch, seed_folder
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.model.data.dialogues import Data

log = logging.getLogger("bigfusion")


@task(
    name="seed", task_run_name="seed {seed}", cache_policy=NO_CACHE, persist_result=False, retries=len(BACKOFF),
    retry_delay_seconds=BACKOFF, retry_condition_fn=may_pass,
)  # fmt: skip
def train_seed(project: Project, data: Data, seed: int, folder: Path, progress: Callable[[Epoch], None]) -> float:
    """Train one seed, or continue an interrupted training. Returns the best validation WF1."""
    from bigfusion.model.training.train import (
        train as train_one_seed,  # importing PyTorch Geometric alone takes seconds
    )

    trained = train_one_seed(data, project.model, project.train, seed, folder, progress)
    warn_of_neurons(trained)
    return trained.best.valid_weighted_f1


@flow(name="train", flow_run_name="train {project.name}", **HOOKS)
@alone
def train(project: Project) -> str:
    """Train every seed with the present cells, labels, settings and code. Returns the run's id.

    Raises:
        TrainingError: cells are pending, or the data cannot be trained on.
    """
    return train_run(project, handed(project) or load(project))


def train_run(project: Project, standing: Standing) -> str:
    """Train a standing's run if it is not trained yet, within a flow run. Returns the run's id.

    Raises:
        TrainingError: cells are pending, or the data cannot be trained on.
    """
    stage, run = standing.stage("train"), standing.run
    log.info("train: %s: %s", "to do" if stage.pending else "up to date", stage.why)
    if stage.pending:
        from bigfusion.flows.project.assemble import assemble

        run.begin(standing.plan)
        with exclusive(run.folder, REMEDY):  # a training that counts as dead may still be at work on it
            data = assemble(project, standing.manifest, standing.plan)
            # A lease that cannot be renewed must not end hours of training. At worst two share a GPU for a while.
            with concurrency(SLOT, strict=False, raise_on_lease_renewal_failure=False):
                _train_seeds(project, data, run)
    return run.id


def _train_seeds(project: Project, data: Data, run: Run) -> None:
    settings = project.train
    epochs = settings.epochs_in_all
    shown = artifacts.Progress(f"{project.name}-training", numbered(len(settings.seeds), "seed"), epochs)
    with training(epochs) as progress:
        for at, seed in enumerate(settings.seeds):
            with bar(f"seed {seed}", settings.epochs, " epochs") as seed_progress:

                def epoch_done(
                    epoch: Epoch, before: int = at * settings.epochs, seed_done: Callable[[int], None] = seed_progress
                ) -> None:
                    progress(epoch)
                    seed_done(1)
                    shown.update(before + epoch.epoch)

                seed_task = train_seed.with_options(timeout_seconds=project.runner.seed_seconds)
                best = seed_task(project, data, seed, seed_folder(run.folder, seed), epoch_done)
            log.info("train: seed %d: validation WF1 %.1f", seed, 100 * best)
    shown.update(epochs)  # after early stopping some epochs are left
