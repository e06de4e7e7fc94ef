"""One network trained over its seeds and scored, once: a folder that says by its name what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.runs.files import read_record
from bigfusion.model.runs.folder import METRICS, Epoch, is_finished, seed_folder
from bigfusion.model.scoring.evaluate import evaluate
from bigfusion.model.scoring.results import Metrics
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.code import NO_NUMBER, training_entries
from bigfusion.model.training.train import fitting, train
from bigfusion.pipeline.digests.code import code_digests
from bigfusion.pipeline.digests.values import digest

Progress = Callable[[Epoch], None]


@dataclass(frozen=True)
class Study:
    """What all trials of a study share. ``digest`` is that of the data."""

    folder: Path
    data: Data
    digest: str
    training: TrainSettings

    @classmethod
    def of(cls, folder: Path, data: Data, training: TrainSettings) -> Study:
        """A study in ``folder``, which may hold others."""
        return cls(folder, data, data.digest(), training)

    def run(self, model: NetworkSettings) -> Path:
        """The folder of a network's trial. What names it is the network that is really trained on these data."""
        model = fitting(self.data, model)
        inputs = {
            "data": self.digest,
            "model": model.numbers(),
            "train": self.training.numbers(),
            "code": code_digests(
                *training_entries(model, self.training), "bigfusion.model.scoring.evaluate:evaluate", stop=NO_NUMBER
            ),
        }
        return self.folder / "runs" / digest(inputs)[:16]

    def trial(self, model: NetworkSettings, progress: Progress = lambda epoch: None) -> Metrics:
        """Train every seed that is not trained, go on with one that was interrupted, and score them.

        Raises:
            TrainingError: the network cannot be trained on the data.
        """
        run = self.run(model)
        if not all(is_finished(seed_folder(run, seed)) for seed in self.training.seeds):
            (run / METRICS).unlink(missing_ok=True)  # a network that is trained again may predict otherwise
        for seed in self.training.seeds:
            train(self.data, model, self.training, seed, seed_folder(run, seed), progress)
        if (run / METRICS).exists():
            known = read_record(run / METRICS, Metrics)
            if tuple(seed.seed for seed in known.seeds) == self.training.seeds:
                return known
        return evaluate(run, self.data, self.training.seeds, self.training.device)
