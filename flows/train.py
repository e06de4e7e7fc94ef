"""The flow ``train``: one Prefect task a seed; a run whose inputs are unchanged is skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows import learning
from flows.assemble import assemble
from flows.learning import Run
from flows.progress import training, warn_of_neurons
from flows.project import Project
from model.data import Data
from model.run import Epoch, seed_folder
from model.train import train as train_one_seed

log = logging.getLogger("bigfusion")


@task(name="seed", task_run_name="seed {seed}", cache_policy=NO_CACHE, persist_result=False)
def train_seed(project: Project, data: Data, seed: int, folder: Path, progress: Callable[[Epoch], None]) -> float:
    """Train one seed, or go on with it where it was interrupted. Returns its best validation WF1."""
    trained = train_one_seed(data, project.model, project.train, seed, folder, progress)
    warn_of_neurons(trained)
    return trained.best.valid_weighted_f1


@flow(name="train", flow_run_name="train {project.corpus.kind}")
def train(project: Project) -> str:
    """Train every seed under the present cells, labels, settings and code. Returns the run's id.

    Raises:
        TrainingError: cells are pending, or the data cannot be trained on.
    """
    manifest, cells, run = learning.present(project)
    stage = learning.stages(project, run, cells)[0]
    log.info("train: %s: %s", "to do" if stage.pending else "up to date", stage.why)
    if stage.pending:
        run.begin(cells)
        _train(project, assemble(project, manifest, cells), run)
    return run.id


def _train(project: Project, data: Data, run: Run) -> None:
    settings = project.train
    with training(len(settings.seeds) * settings.epochs) as progress:
        for seed in settings.seeds:
            best = train_seed(project, data, seed, seed_folder(run.folder, seed), progress)
            log.info("train: seed %d: validation WF1 %.1f", seed, 100 * best)
