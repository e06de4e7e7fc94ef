"""Training of one seed: early stopping on validation WF1, and an exact continuation after a kill.

The checkpoint is the epoch with the best validation WF1. The test split is never scored here: each epoch stores the
classes that it predicts for it. From these the evaluator later computes what picking the epoch on the test split would
have shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import Data, check, true_labels, true_values, utterance_digest
from bigfusion.model.data.regression import check_regression
from bigfusion.model.data.split_notes import most_speakers
from bigfusion.model.device import machine_name
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.networks.base import build, network_class
from bigfusion.model.runs import checkpoint
from bigfusion.model.runs.checkpoint import CheckpointFacts, DataFacts
from bigfusion.model.runs.files import read_record, write_file, write_record
from bigfusion.model.runs.folder import HISTORY, TEST_EPOCHS, TRAINED, Epoch, Trained, is_finished
from bigfusion.model.runs.tensors import write_tensors
from bigfusion.model.scoring.metrics import accuracy, confusion, weighted_f1
from bigfusion.model.scoring.predict import choose_device, predict
from bigfusion.model.scoring.regression_scores import epoch_scores
from bigfusion.model.seed import deterministic, seed_everything
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.distributed import Rank, device_of, processes
from bigfusion.model.training.early_stopping import TrainingHistory
from bigfusion.model.training.epoch_logs import epoch_logs
from bigfusion.model.training.mlflow_log import require_mlflow
from bigfusion.model.training.neurons import examine
from bigfusion.model.training.optimise import Optimisation
from bigfusion.model.training.resume import STATE, restore_state, save_state
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError


def train(
    data: Data,
    model_settings: NetworkSettings,
    train_settings: TrainSettings,
    seed: int,
    folder: Path,
    progress: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train one seed in ``folder`` (a run's ``seed-K``), or continue a training that was interrupted.

    A finished seed is returned unchanged. A seed that has lost a file since is trained again. ``progress`` is called
    after each epoch, when everything about it is on disk.

    Raises:
        TrainingError: the data cannot be trained on, the folder holds another run, or the loss is no longer finite.
    """
    model_settings = fitting(data, model_settings)
    check(data, model_settings)
    if "mlflow" in train_settings.log:
        require_mlflow()
    device = choose_device(train_settings.device)
    check_processes(model_settings, train_settings)
    _check_gpus(train_settings, device)
    facts = checkpoint.data_facts(data)
    run = _run_digest(facts, model_settings, train_settings, seed)
    if (folder / TRAINED).exists():
        finished = _finished(folder, run)
        if is_finished(folder):
            return finished
        (folder / TRAINED).unlink()
    for leftover in folder.glob(".*.tmp"):  # left by a kill during a write
        leftover.unlink()
    job = _Job(data, facts, model_settings, train_settings, seed, device, folder, run)
    with processes(train_settings.processes, device, _train, job) as rank:
        return _train(rank, job, progress)


def fitting(data: Data, settings: NetworkSettings) -> NetworkSettings:
    """The settings of the network that is really trained on these data."""
    single = data.single_utterances and not data.regression
    fitted = settings.for_single_utterances() if single else settings
    return fitted.for_classes(data.labels).for_speakers(most_speakers(data))


@dataclass(frozen=True)
class _Job:
    """Everything that each process of a seed's training needs to know."""

    data: Data
    facts: DataFacts
    model: NetworkSettings
    settings: TrainSettings
    seed: int
    device: torch.device
    folder: Path
    run: str


def _train(rank: Rank, job: _Job, progress: Callable[[Epoch], None] = lambda epoch: None) -> Trained:
    """Run one process of a seed's training. Only the first scores and writes; the others follow its history."""
    data, folder, run = job.data, job.folder, job.run
    with deterministic(job.settings.threads):
        seed_everything(job.seed)
        trainer = _Trainer(data, job.facts, job.model, job.settings, job.seed, device_of(rank, job.device), rank)
        networks, optimizers = trainer.optimisation.networks, trainer.optimisation.optimizers
        done = TrainingHistory((), torch.empty(0, len(true_labels(data.test)), dtype=torch.int16))
        if rank.tell((folder / STATE).exists(), trainer.device):
            done = restore_state(folder, run, networks, optimizers)
            if rank.first:
                trainer.publish(folder, done)  # a kill may have come before this
        logs = epoch_logs(folder, run, job.model, job.settings, done.history) if rank.first else nullcontext()
        with logs as write:
            epochs = job.settings.epochs if optimizers else 1  # without a gradient step every epoch is the same
            while not done.over(epochs, job.settings.patience):
                done = trainer.epoch(done)
                if write is not None:
                    save_state(folder, run, done, networks, optimizers)
                    trainer.publish(folder, done)
                    write(done.history[-1])
                    progress(done.history[-1])
        if not rank.first:
            return Trained(run=run, seed=job.seed, epochs=len(done.history), best=done.best, neurons={})
        neurons = examine(checkpoint.load(folder, trainer.device, None).network, data.valid, trainer.device)
    trained = Trained(
        run=run,
        seed=job.seed,
        epochs=len(done.history),
        best=done.best,
        neurons=neurons,
        machine=machine_name(trainer.device),
    )
    write_record(folder / TRAINED, trained)
    (folder / STATE).unlink()
    return trained


def check_processes(model_settings: NetworkSettings, train_settings: TrainSettings) -> None:
    """Refuse several processes for a network that is another one if they share a batch.

    Raises:
        TrainingError: it has BatchNorm.
    """
    if train_settings.processes > 1 and network_class(model_settings.kind).batch_norm:
        raise TrainingError(
            f'train.processes: expected 1 for model.kind = "{model_settings.kind}", whose BatchNorm takes the means of'
            f" a whole batch, found {train_settings.processes}; set it to 1"
        )


def _check_gpus(train_settings: TrainSettings, device: torch.device) -> None:
    count = train_settings.processes
    if count > 1 and device.type == "cuda" and count > torch.cuda.device_count():
        raise TrainingError(
            f"train.processes {count}: expected at most one a GPU, found {torch.cuda.device_count()} GPUs; lower it"
        )


def _run_digest(data: DataFacts, model_settings: NetworkSettings, train_settings: TrainSettings, seed: int) -> str:
    """Digest of everything that one seed's training depends on, except the machine."""
    settings = {"model": model_settings.numbers(), "train": train_settings.numbers()}
    return digest({"data": data.digest, "seed": seed, **settings})


def _finished(folder: Path, run: str) -> Trained:
    finished = read_record(folder / TRAINED, Trained)
    if finished.run != run:
        raise TrainingError(
            f"{folder}: holds a finished run with other settings or data; train into another folder or delete it"
        )
    (folder / STATE).unlink(missing_ok=True)
    return finished


def _validation(logits: Tensor, data: Data) -> dict[str, Any]:
    """The scores of an epoch on the validation split. Shape: ``logits`` (U, C); of numbers (U, 1)."""
    if data.regression:
        found = epoch_scores(true_values(data.valid), logits[:, 0].numpy())
        sign = {"valid_weighted_f1": found.f1_has0, "valid_accuracy": found.accuracy_has0}
        return {"valid_loss": found.mae, "valid_mae": found.mae, **sign}
    labels = true_labels(data.valid)
    matrix = confusion(labels, logits.argmax(1).numpy(), len(data.labels))
    return {
        "valid_loss": cross_entropy(logits, torch.from_numpy(labels), ignore_index=UNLABELLED).item(),
        "valid_weighted_f1": weighted_f1(matrix),
        "valid_accuracy": accuracy(matrix),
    }


class _Trainer:
    """One seed's optimisation, with the scores and files that follow each epoch."""

    def __init__(
        self,
        data: Data,
        facts: DataFacts,
        model_settings: NetworkSettings,
        train_settings: TrainSettings,
        seed: int,
        device: torch.device,
        rank: Rank,
    ) -> None:
        self.data, self.batch_size, self.device, self.rank = data, train_settings.batch_size, device, rank
        network = build(model_settings, data.widths, len(data.labels))
        check_regression(data, network.regresses, model_settings, train_settings)
        started = time.perf_counter()
        network.prepare(data.train, data.valid)
        self.prepared = time.perf_counter() - started
        network = network.to(device)
        self.optimisation = Optimisation(network, data.train, train_settings, seed, rank, data.labels)
        self.facts = CheckpointFacts(
            format=checkpoint.FORMAT,
            seed=seed,
            epoch=0,
            valid_weighted_f1=0,
            labels=data.labels,
            widths=data.widths,
            model=model_settings,
            train=train_settings,
            data=facts,
            versions=checkpoint.library_versions(),
            tensors="",
            task="regression" if data.regression else "classes",
            absent=checkpoint.absent_rows(data.train, model_settings.chosen(data.widths)),
        )

    def epoch(self, done: TrainingHistory) -> TrainingHistory:
        """Train one epoch, score it on the validation split and keep its predictions for the test split."""
        started = time.perf_counter()
        number = len(done.history) + 1
        steps = self.optimisation.epoch(number)
        if not self.rank.first:
            return TrainingHistory(
                (*done.history, Epoch.model_validate(self.rank.tell(None, self.device))), done.test_classes
            )
        logits = predict(self.optimisation.scored, self.data.valid, self.device, self.batch_size)
        test_classes = done.test_classes
        if self.data.test and not self.data.regression:
            test = predict(self.optimisation.scored, self.data.test, self.device, self.batch_size)
            test_classes = torch.cat([test_classes, test.argmax(1)[None].to(torch.int16)])
        record = Epoch(
            epoch=number,
            **steps.model_dump(),
            **_validation(logits, self.data),
            seconds=time.perf_counter() - started + (0.0 if self.optimisation.optimizers else self.prepared),
        )
        self.rank.tell(record.model_dump(mode="json"), self.device)
        return TrainingHistory((*done.history, record), test_classes)

    def publish(self, folder: Path, done: TrainingHistory) -> None:
        """Write the files that others read. All are made from the state that was just stored.

        The checkpoint of a better epoch is written after its state and before the next state. So after a kill at any
        moment, either the state holds the best network or the checkpoint on disk is that network.
        """
        lines = [json.dumps(epoch.model_dump(mode="json"), allow_nan=False) for epoch in done.history]
        write_file(folder / HISTORY, ("\n".join(lines) + "\n").encode())
        if self.data.test and not self.data.regression:
            facts = {"utterances": utterance_digest(self.data.test)}
            write_tensors(folder / TEST_EPOCHS, {"classes": done.test_classes}, facts)
        if done.best is done.history[-1]:
            choice = {"epoch": done.best.epoch, "valid_weighted_f1": done.best.valid_weighted_f1}
            checkpoint.save(folder, self.optimisation.scored, self.facts.model_copy(update=choice))
