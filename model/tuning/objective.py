"""What a search maximises: the weighted F1 of dialogues that neither trained a network nor chose its epoch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.reproduce.schemes import Fold, as_given, sessions
from bigfusion.model.reproduce.trials import Study
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.metrics import scores
from bigfusion.model.settings import TrainSettings


@dataclass(frozen=True)
class Objective:
    """Trains a network on each fold and scores it. ``folder`` is where that is done; finished folds are kept there."""

    folder: Path
    folds: Sequence[Fold]
    digests: Sequence[str]

    @classmethod
    def of(cls, folder: Path, data: Data, scheme: str, holdout: float) -> Objective:
        """The folds of the training and validation dialogues. The test dialogues are in none of them.

        Scheme ``sessions`` scores each session once, by a network that never saw it. ``given`` scores the validation
        split, on which the epoch is chosen: its scores are too high, for all settings alike.

        Raises:
            TrainingError: a dialogue's id names no session, or fewer than two sessions have labels.
        """
        learnt = Data(data.labels, data.train, data.valid, [])
        folds = sessions(learnt, holdout) if scheme == "sessions" else as_given(learnt)
        return cls(folder, folds, [fold.data.digest() for fold in folds])

    def score(
        self, model: NetworkSettings, train: TrainSettings, progress: Callable[[], None] = lambda: None
    ) -> list[float]:
        """The weighted F1 of each seed over the scored utterances of all folds. ``progress`` is called after each fold.

        Raises:
            TrainingError: the network cannot be trained with these settings.
        """
        tables = []
        for study in self._studies(train):
            metrics = study.trial(model)
            table = pd.read_parquet(study.run(model) / PREDICTIONS)
            tables.append(table[(table["split"] == metrics.scored.value) & table["true"].notna()])
            progress()
        labels = list(self.folds[0].data.labels)

        def codes(names: pd.Series[str]) -> NDArray[np.int64]:
            return np.array([labels.index(name) for name in names], np.int64)

        return [
            scores(codes(rows["true"]), codes(rows["predicted"]), len(labels)).weighted_f1
            for _, rows in pd.concat(tables).groupby("seed")
        ]

    def forget(self, model: NetworkSettings, train: TrainSettings) -> None:
        """Delete the networks that were trained for a score: a search keeps its scores alone."""
        for study in self._studies(train):
            shutil.rmtree(study.run(model), ignore_errors=True)

    def _studies(self, train: TrainSettings) -> list[Study]:
        return [Study(self.folder, fold.data, made, train) for fold, made in zip(self.folds, self.digests, strict=True)]
