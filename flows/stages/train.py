"""The flow ``train``: one Prefect task for each seed. A run whose inputs are unchanged is skipped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.session import alone
from bigfusion.flows.engine.slot import gpu_slot
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.progress import bar, training, warn_of_neurons
from bigfusion.flows.project import known_dialogues, makers
from bigfusion.flows.project.leaks import leaks
from bigfusion.flows.project.runs import Run, trained_model
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing, handed, load_kept
from bigfusion.flows.project.workspace import REMEDY, exclusive
from bigfusion.flows.stages.chunks import BACKOFF, may_pass
from bigfusion.model.data.split_notes import notes as split_notes
from bigfusion.model.data.split_notes import speaker_notes
from bigfusion.model.network_notes import notes as network_notes
from bigfusion.model.runs.folder import Epoch, seed_folder
from bigfusion.pipeline.errors import SettingsError, TrainingError
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


@stage("train {project.name}")
@alone
def train(project: Project) -> str:
    """Train every seed with the present cells, labels, settings and code. Returns the run's id.

    Raises:
        TrainingError: cells are pending, or the data cannot be trained on.
    """
    return train_run(project, handed(project) or load_kept(project))


def train_run(project: Project, standing: Standing) -> str:
    """Train a standing's run if it is not trained yet, within a flow run. Returns the run's id.

    Raises:
        TrainingError: cells are pending, or the data cannot be trained on.
    """
    stage, run = standing.stage("train"), standing.run
    log.info("train: %s: %s", "to do" if stage.pending else "up to date", stage.why)
    if stage.pending:
        if leaking := leaks(project, standing.manifest):
            raise SettingsError("; ".join(leaking))
        model = trained_model(project, standing.manifest)
        run.begin(standing.plan)
        makers.record(project, standing.plan, run.folder)
        with exclusive(run.folder, REMEDY):  # a training that counts as dead may still be at work on it
            data = _data(project, standing)
            if not run.folds:  # of a cross-validation no model becomes the current one
                known_dialogues.write_known(run.folder, data[""])
            whole = next(iter(data.values()))  # each fold holds every dialogue
            for note in (*network_notes(model), *speaker_notes(whole, model)):
                log.info("train: %s", note)
            for fold, part in data.items():
                for note in split_notes(part, model):
                    log.info("train: %s%s", f"fold {fold}: " * bool(fold), note)
            with gpu_slot():
                _train_seeds(project, data, run)
    return run.id


def _data(project: Project, standing: Standing) -> dict[str, Data]:
    """The data of each part of the run (:attr:`Run.parts`)."""
    if standing.run.folds:
        if standing.manifest.has_values:
            raise TrainingError(
                'corpus.folds: exists for classes only, found numbers (corpus.task = "regression"); deal splits by'
                " corpus.split_by instead"
            )
        from bigfusion.flows.project.folds import fold_data

        return fold_data(project, standing.manifest, standing.plan)
    from bigfusion.flows.project.assemble import assemble

    return {"": assemble(project, standing.manifest, standing.plan)}


def _train_seeds(project: Project, data: Mapping[str, Data], run: Run) -> None:
    settings = project.train
    epochs = settings.epochs_in_all * len(data)
    count = numbered(len(settings.seeds), "seed") + (f" of {numbered(len(data), 'fold')}" if run.folds else "")
    shown = artifacts.Progress(f"{project.name}-training", count, epochs)
    jobs = [(fold, folder, seed) for fold, folder in run.parts.items() for seed in settings.seeds]
    with training(epochs) as progress:
        for at, (fold, folder, seed) in enumerate(jobs):
            which = f"fold {fold}, seed {seed}" if fold else f"seed {seed}"
            with bar(which, settings.epochs, " epochs") as seed_progress:

                def epoch_done(
                    epoch: Epoch, before: int = at * settings.epochs, seed_done: Callable[[int], None] = seed_progress
                ) -> None:
                    progress(epoch)
                    seed_done(1)
                    shown.update(before + epoch.epoch)

                seed_task = train_seed.with_options(timeout_seconds=project.runner.seed_seconds, task_run_name=which)
                best = seed_task(project, data[fold], seed, seed_folder(folder, seed), epoch_done)
            log.info("train: %s: validation WF1 %.1f", which, 100 * best)
    shown.update(epochs)  # after early stopping some epochs are left
