"""Small corpora and settings for the tests of training, evaluation and the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.runs.folder import seed_folder
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.train import train

LABELS = ("neutral", "joy", "anger")
WIDTHS = {"text": 6, "audio": 3}


def dialogue(name: str, length: int, seed: int, signal: float = 1.5, unlabelled: tuple[int, ...] = ()) -> Dialogue:
    """Turns of two speakers whose text features carry their label, and whose audio is now and then absent."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, length, p=[0.5, 0.3, 0.2])
    centres = np.random.default_rng(99).normal(size=(3, WIDTHS["text"]))
    text = signal * centres[labels] + random.normal(size=(length, WIDTHS["text"]))
    audio = random.normal(size=(length, WIDTHS["audio"]))
    labels[list(unlabelled)] = UNLABELLED
    return Dialogue(
        id=name,
        utterances=tuple(f"{name}_utt{turn}" for turn in range(length)),
        features={"text": text.astype(np.float32), "audio": audio.astype(np.float32)},
        present={"text": np.ones(length, dtype=bool), "audio": random.random(length) > 0.2},
        speakers=np.arange(length) % 2,
        labels=labels.astype(np.int64),
    )


def small_data(test: int = 4) -> Data:
    """Twelve dialogues to train on, three to validate on, ``test`` to test on; some turns have no label."""
    return Data(
        labels=LABELS,
        train=[dialogue(f"train/dia{k}", 3 + k % 5, k, unlabelled=(0,) if k == 2 else ()) for k in range(12)],
        valid=[dialogue(f"valid/dia{k}", 6 + k, 100 + k) for k in range(3)],
        test=[dialogue(f"test/dia{k}", 4 + 2 * k, 200 + k, unlabelled=(1,) if k == 1 else ()) for k in range(test)],
    )


def small_model(**changes: object) -> BigFusionSettings:
    """A network of width 8 that trains in milliseconds; dropout and noise draw random numbers at every step."""
    settings = {"modalities": ("text", "audio"), "width": 8, "layers": 1, "heads": 2, "dropout": 0.3}
    return BigFusionSettings.model_validate(settings | changes)


def small_training(**changes: object) -> TrainSettings:
    """Six epochs on one thread."""
    settings = {"seeds": (0,), "learning_rate": 0.02, "batch_size": 4, "epochs": 6, "device": "cpu", "threads": 1}
    return TrainSettings.model_validate(settings | changes)


def small_run(run: Path, data: Data, seeds: tuple[int, ...] = (0, 1), **changes: object) -> Path:
    """A run folder with every seed trained."""
    for seed in seeds:
        train(data, small_model(), small_training(seeds=seeds, **changes), seed, seed_folder(run, seed))
    return run
