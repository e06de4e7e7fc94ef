"""A run's data: the labels and three splits of dialogues, checked before the first training step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

Item = TypeVar("Item")


@dataclass(frozen=True)
class Data:
    """A corpus as arrays. ``labels[c]`` names class c of every ``Dialogue.labels``; a split may be empty.

    The dialogues of ``valid``, and they alone, are marked as ``Dialogue.validation``.
    """

    labels: tuple[str, ...]
    train: list[Dialogue]
    valid: list[Dialogue]
    test: list[Dialogue]

    def __post_init__(self) -> None:
        for split in Split:
            validation = split is Split.VALID
            marked = [
                one if one.validation is validation else replace(one, validation=validation) for one in self[split]
            ]
            object.__setattr__(self, split.value, marked)

    def __getitem__(self, split: Split) -> list[Dialogue]:
        return {Split.TRAIN: self.train, Split.VALID: self.valid, Split.TEST: self.test}[split]

    def __iter__(self) -> Iterator[Dialogue]:
        yield from (*self.train, *self.valid, *self.test)

    @property
    def widths(self) -> dict[str, int]:
        """Width of each feature; empty if there is no dialogue."""
        first = next(iter(self), None)
        return {} if first is None else {name: array.shape[1] for name, array in first.features.items()}

    @property
    def regression(self) -> bool:
        """Whether numbers are predicted instead of classes."""
        first = next(iter(self), None)
        return first is not None and first.values is not None

    @property
    def single_utterances(self) -> bool:
        """Whether no dialogue has two utterances: nothing here is a conversation."""
        return all(len(dialogue) == 1 for dialogue in self)

    def digest(self) -> str:
        """SHA-256 over everything that training reads: labels, ids, order and numbers of all splits."""
        sha256 = hashlib.sha256(repr(self.labels).encode())
        for split in Split:
            for dialogue in self[split]:
                sha256.update(f"\n{split} {dialogue.id!r} {dialogue.utterances!r}".encode())
                for name in sorted(dialogue.features):
                    present = dialogue.present[name]
                    values = np.where(present[:, None], dialogue.features[name], 0).astype(np.float32)
                    sha256.update(f"{name} {values.shape}".encode())
                    sha256.update(values.data)
                    sha256.update(np.ascontiguousarray(present).data)
                sha256.update(np.ascontiguousarray(dialogue.speakers, dtype=np.int64).data)
                sha256.update(np.ascontiguousarray(dialogue.labels, dtype=np.int64).data)
                if dialogue.values is not None:
                    sha256.update(np.ascontiguousarray(dialogue.values, dtype=np.float32).data)
        return sha256.hexdigest()


def hold_out(train: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    """Split dialogues in corpus order: train on the first, validate on the last ``share`` of them (at least one).

    Raises:
        TrainingError: fewer than two dialogues.
    """
    if len(train) < 2:
        raise TrainingError(
            f"split train: expected at least 2 dialogues to hold one out for validation, found {len(train)}; "
            "add dialogues, or mark some as `valid` in the corpus"
        )
    held = min(max(1, round(share * len(train))), len(train) - 1)
    return list(train[:-held]), list(train[-held:])


def true_labels(dialogues: Sequence[Dialogue]) -> NDArray[np.int64]:
    """Labels of all utterances, dialogue after dialogue. Shape (U,), ``UNLABELLED`` for one without a label."""
    return np.concatenate([dialogue.labels for dialogue in dialogues] or [np.empty(0, np.int64)])


def true_values(dialogues: Sequence[Dialogue]) -> NDArray[np.float32]:
    """The numbers of all utterances of a regression, dialogue after dialogue; NaN for none. Shape: (U,)."""
    return np.concatenate(
        [dialogue.values for dialogue in dialogues if dialogue.values is not None] or [np.empty(0, np.float32)]
    )


def utterance_digest(dialogues: Sequence[Dialogue]) -> str:
    """SHA-256 of the ids of all utterances, in their order."""
    return digest([[dialogue.id, *dialogue.utterances] for dialogue in dialogues])


def check(data: Data, settings: NetworkSettings) -> None:
    """Check that a network with these settings can be trained on ``data``.

    Raises:
        TrainingError: an empty split, no labels, a missing modality, or arrays that do not fit together.
    """
    for split in (Split.TRAIN, Split.VALID):
        if not data[split]:
            remedy = "hold some training dialogues out" if split is Split.VALID else "ingest a corpus that has one"
            raise TrainingError(f"split {split}: expected at least one dialogue, found none; {remedy}")
        if not (true_labels(data[split]) != UNLABELLED).any():
            raise TrainingError(
                f"split {split}: expected labelled utterances, found none with a label among {len(data.labels)} "
                f"({', '.join(data.labels) or 'no labels at all'}); label the corpus and ingest it again"
            )
    check_modalities(data.widths, settings)
    for dialogue in data:
        _check_dialogue(dialogue, data.widths, len(data.labels))


def check_modalities(widths: dict[str, int], settings: NetworkSettings) -> None:
    """Check that every modality that is switched on has features; if ``features`` names some, that one is there.

    Raises:
        TrainingError: a modality has none.
    """
    there = settings.modalities_of(widths)
    if settings.features is not None and there:
        return
    for modality in settings.modalities:
        if modality not in there:
            raise TrainingError(
                f"modality {modality}: expected features, found those of {', '.join(widths) or 'none'}; "
                f"extract it, or leave it out of model.modalities"
            )


def _check_dialogue(dialogue: Dialogue, widths: dict[str, int], classes: int) -> None:
    length = len(dialogue)
    found = {name: array.shape for name, array in dialogue.features.items()}
    expected = {name: (length, width) for name, width in widths.items()}
    if length == 0 or found != expected:
        raise TrainingError(
            f"dialogue {dialogue.id}: expected features of shapes {expected} as in the first dialogue, found {found}; "
            "extract the features again"
        )
    lengths = {len(dialogue.speakers), len(dialogue.labels), *(len(row) for row in dialogue.present.values())}
    if lengths != {length} or set(dialogue.present) != set(widths):
        raise TrainingError(
            f"dialogue {dialogue.id}: expected one speaker, label and presence per feature for each of its {length} "
            f"utterances, found lengths {sorted(lengths)}; build it again"
        )
    if dialogue.labels.min() < UNLABELLED or dialogue.labels.max() >= classes:
        raise TrainingError(
            f"dialogue {dialogue.id}: expected labels 0 to {classes - 1} (or {UNLABELLED} for none), found "
            f"{dialogue.labels.min()} to {dialogue.labels.max()}; name every label in the corpus"
        )
