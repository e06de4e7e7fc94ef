"""The layout of a run folder, and which of its seeds are finished.

::

    RUN/seed-0/history.jsonl            a line an epoch
    RUN/seed-0/checkpoint.safetensors   the chosen network, rebuilt with checkpoint.json
    RUN/seed-0/test-epochs.safetensors  classes predicted for the test split after each epoch, unscored
    RUN/seed-0/tensorboard/             the same lines as TensorBoard's events
    RUN/seed-0/trained.json             written when the seed is finished; until then resume.safetensors
    RUN/predictions.parquet  RUN/metrics.json  RUN/report.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from bigfusion.model.runs.files import Record
from bigfusion.pipeline.errors import TrainingError

HISTORY, TEST_EPOCHS, TRAINED = "history.jsonl", "test-epochs.safetensors", "trained.json"
CHECKPOINT = ("checkpoint.safetensors", "checkpoint.json")
PREDICTIONS, METRICS, REPORT = "predictions.parquet", "metrics.json", "report.html"


class Steps(Record):
    """Means over one epoch's steps, weighted by labelled utterances; ``learning_rate`` is that of the last step.

    ``parts`` are the values of the loss's parts by name, which ``loss`` sums with the network's weights (BIG-FUSION:
    ``cross_entropy`` + lambda * ``contrast``, Eq. 12). ``gradient_norm`` is the norm before clipping. ``rates`` is the
    firing rate of each spiking layer. Histories of earlier versions hold these two parts beside ``loss``.
    """

    loss: float
    parts: dict[str, float]
    gradient_norm: float
    learning_rate: float
    rates: dict[str, float]

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, line: Any) -> Any:
        if isinstance(line, dict) and "parts" not in line:
            names = [name for name in ("cross_entropy", "contrast") if name in line]
            rest = {name: value for name, value in line.items() if name not in names}
            return rest | {"parts": {name: line[name] for name in names}}
        return line


class Epoch(Steps):
    """The values of one epoch, a line of ``history.jsonl``. Only ``seconds`` differs between two equal runs.

    In a regression ``valid_mae`` is the mean absolute error, and WF1 and accuracy are those of the sign (has 0).
    ``seconds`` of a network that is fitted at once are those of its fit too; earlier versions left them out.
    """

    epoch: int
    valid_loss: float
    valid_weighted_f1: float
    valid_accuracy: float
    valid_mae: float | None = None
    seconds: float

    @property
    def choice(self) -> float:
        """What the chosen epoch has most of: validation WF1, or for numbers the negative mean absolute error."""
        return self.valid_weighted_f1 if self.valid_mae is None else -self.valid_mae


class Neurons(Record):
    """Counts of a layer's neurons: all, those that fired for no utterance, and those that fired at every step."""

    count: int
    dead: int
    saturated: int


class Trained(Record):
    """A finished seed. ``run`` is the digest of its data, settings and seed; ``best`` the epoch that was chosen.

    ``machine`` names the processor or the GPU that finished the training. ``neurons`` counts the dead and the saturated
    neurons of each spiking layer of the chosen network, on the validation split.
    """

    run: str
    seed: int
    epochs: int
    best: Epoch
    neurons: dict[str, Neurons]
    machine: str = ""


def seed_folder(run: Path, seed: int) -> Path:
    """The folder in which one seed is trained."""
    return run / f"seed-{seed}"


def is_finished(folder: Path) -> bool:
    """Whether a seed is trained, and its history and checkpoint still exist."""
    return all((folder / name).exists() for name in (TRAINED, HISTORY, *CHECKPOINT))


def finished_seeds(run: Path, seeds: Sequence[int] | None = None) -> list[Path]:
    """The folders of ``seeds``, in this order. ``None`` means all seeds of the run. All have to be finished.

    Raises:
        TrainingError: there is no seed, or one is missing or unfinished.
    """
    if seeds is None:
        names = (folder.name.removeprefix("seed-") for folder in run.glob("seed-*"))
        seeds = sorted(int(name) for name in names if name.isdecimal())
    if not seeds:
        raise TrainingError(f"{run}: expected trained seeds (seed-0, ...), found none; train the run first")
    folders = [seed_folder(run, seed) for seed in seeds]
    for folder in folders:
        if not is_finished(folder):
            found = "one that was interrupted or lost a file" if folder.exists() else "none"
            raise TrainingError(f"{folder}: expected a finished seed, found {found}; run the training again")
    return folders


def read_history(folder: Path) -> list[Epoch]:
    """The epochs of one seed's folder.

    Raises:
        TrainingError: the file is missing or is not a history.
    """
    try:
        lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
        return [Epoch.model_validate_json(line) for line in lines]
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise TrainingError(f"{folder / HISTORY}: expected a line an epoch, found {first}; train again") from None
