"""A curriculum for any network: which dialogues an epoch trains on, and which targets replace their labels.

HCL, hybrid curriculum learning (Yang et al., AAAI 2022, arXiv 2112.11718), has two parts:

- Class curriculum: dialogues come in buckets, those with few emotion shifts first. DIF = (N_es + N_sp) / (N_u + N_sp);
  N_es counts a speaker's consecutive utterances with different labels, N_sp speakers, N_u utterances. The first
  ``hcl.epochs`` epochs train on the first of ``hcl.buckets`` buckets, the next ones on two, and so on; then on all.
- Utterance curriculum: a label is taught as a distribution over labels like it, which moves towards the label alone.
  Similarity is that of a wheel of valence and arousal: max(cos(angle), 0), 0 between labels of opposite valence, 1/C
  between neutral and any. Y_0 has its rows over their sums; at each update, m being a row's mass off the label,
  Y(y, y) = 1/Z and Y(y, k) <- eps Y(y, k) / Z with Z = 1 + eps m.

No code of HCL was found. The scheduler is MultiDAG-CL's (whose design names HCL's), the wheel LSDGNN's, and the update
of the targets a reconstruction after label-similarity curriculum learning (Dogan et al., ECCV 2020): one an epoch.
How the parts nest is not known: the targets move over the whole training, or with ``hcl.restart`` begin again with
each stage.

Departures from MultiDAG-CL: utterances without a label are skipped; there "no label" counts as one more emotion and
inflates the shifts. Fewer dialogues than stages make fewer stages; there the last stages index past the end.

Labels order only the training dialogues. The only state between epochs is the number of the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.settings import HCLSettings, TrainSettings
from bigfusion.pipeline.errors import TrainingError

NEUTRAL = frozenset({"neutral", "neu"})
ANGLES = {
    "happy": 27.0,
    "happiness": 27.0,
    "hap": 27.0,
    "joy": 27.0,
    "excited": 63.0,
    "exc": 63.0,
    "surprise": 81.0,
    "anger": 99.0,
    "angry": 99.0,
    "ang": 99.0,
    "disgust": 153.0,
    "fear": 171.0,
    "frustrated": 189.0,
    "frustration": 189.0,
    "fru": 189.0,
    "sadness": 261.0,
    "sad": 261.0,
}
"""Degrees on the wheel; the right half is pleasant, the upper half aroused."""


@dataclass(frozen=True)
class Lesson:
    """One epoch's dialogues, and the target distribution of each label (C, C). ``None`` means the plain labels."""

    dialogues: Sequence[Dialogue]
    targets: Tensor | None = None


class Everything:
    """All dialogues and their labels, from the first epoch on."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._dialogues = dialogues

    def lesson(self, epoch: int) -> Lesson:
        """The lesson of an epoch. Epochs count from 1."""
        del epoch
        return Lesson(self._dialogues)


class HCL(Everything):
    """Hybrid curriculum learning. ``labels`` names the classes.

    Raises:
        TrainingError: soft targets of a label that is not on the wheel.
    """

    def __init__(self, dialogues: Sequence[Dialogue], labels: Sequence[str], settings: HCLSettings) -> None:
        super().__init__(dialogues)
        self._settings = settings
        self._buckets = buckets(dialogues, settings.buckets)
        self._start = first_targets(labels) if settings.targets else None

    def lesson(self, epoch: int) -> Lesson:
        """The buckets of the epoch's stage, in the order of the corpus, and the targets of this epoch."""
        stage = min((epoch - 1) // self._settings.epochs, self._buckets.max())
        chosen = [one for one, bucket in zip(self._dialogues, self._buckets, strict=True) if bucket <= stage]
        updates = epoch - 1 - (stage * self._settings.epochs if self._settings.restart else 0)
        return Lesson(chosen, self._targets(int(updates)))

    def _targets(self, updates: int) -> Tensor | None:
        if self._start is None:
            return None
        targets = self._start
        for _ in range(updates):
            targets = updated(targets, self._settings.decay)
        if np.array_equal(targets, np.eye(len(targets))):
            return None  # exactly the plain labels
        return torch.from_numpy(targets).float()


def curriculum(settings: TrainSettings, dialogues: Sequence[Dialogue], labels: Sequence[str]) -> Everything:
    """The curriculum that ``settings`` name."""
    return HCL(dialogues, labels, settings.hcl) if settings.curriculum == "hcl" else Everything(dialogues)


def difficulty(dialogue: Dialogue) -> Fraction:
    """DIF over the labelled utterances. A dialogue without any gets 2 and comes last, because it teaches nothing."""
    labelled = dialogue.labels != UNLABELLED
    labels, speakers = dialogue.labels[labelled], dialogue.speakers[labelled]
    if not len(labels):
        return Fraction(2)
    order = np.argsort(speakers, kind="stable")  # speaker after speaker, each in the dialogue's order
    labels, speakers = labels[order], speakers[order]
    shifts = int(((labels[1:] != labels[:-1]) & (speakers[1:] == speakers[:-1])).sum())
    people = len(np.unique(speakers))
    return Fraction(shifts + people, len(labels) + people)


def buckets(dialogues: Sequence[Dialogue], count: int) -> NDArray[np.int64]:
    """The bucket of each dialogue, from 0: first the easiest ceil(n / ``count``), then as many, ... Ties go by id."""
    order = sorted(range(len(dialogues)), key=lambda index: (difficulty(dialogues[index]), dialogues[index].id))
    size = math.ceil(len(dialogues) / count)
    found = np.empty(len(dialogues), dtype=np.int64)
    found[order] = np.arange(len(dialogues)) // size
    return found


def first_targets(labels: Sequence[str]) -> NDArray[np.float64]:
    """Y_0, each row being the similarities of one label, over their sum. Shape: (C, C).

    Raises:
        TrainingError: a label is not on the wheel.
    """
    for label in labels:
        if label not in ANGLES and label not in NEUTRAL:
            raise TrainingError(
                f"label {label}: expected one of {', '.join(sorted({*ANGLES, *NEUTRAL}))} for soft targets; "
                "set train.hcl.targets = false"
            )
    return _normalised(np.array([[_similarity(one, other, len(labels)) for other in labels] for one in labels]))


def _similarity(one: str, other: str, classes: int) -> float:
    if one == other:
        return 1.0
    if one in NEUTRAL or other in NEUTRAL:
        return 1 / classes
    first, second = (math.radians(ANGLES[label]) for label in (one, other))
    alike = math.cos(first) * math.cos(second) > 0  # both pleasant, or neither
    cosine = math.cos(first - second)
    return cosine if alike and cosine > 1e-9 else 0.0  # at a right angle the cosine is a rounding error


def updated(targets: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """The targets after one more update, nearer to the labels. Shape: (C, C)."""
    others = decay * targets * (1 - np.eye(len(targets)))
    return _normalised(others + np.eye(len(targets)))


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = rows / rows.sum(1, keepdims=True)
    return found
