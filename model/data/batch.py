"""Dialogues as padded batches: what the network reads.

torch is imported when a batch is made: whoever reads scores needs dialogues only, which are arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

UNLABELLED = -1
"""The label of an utterance that is neither trained on nor scored, and of padding."""


@dataclass(frozen=True)
class Dialogue:
    """One conversation of N utterances, as arrays.

    Shapes: ``features[f]`` (N, F_f) float32, ``present[f]`` (N,) bool: False where the feature is absent (its row is
    ignored); ``speakers`` (N,) int, numbered from 0 within the dialogue; ``labels`` (N,) int, ``UNLABELLED`` = -1.
    ``values`` (N,) float32 are what a regression predicts; then a label is 0 where there is a value, else -1.
    ``validation``: it stands in the validation split of its :class:`bigfusion.model.data.dialogues.Data`.
    """

    id: str
    utterances: tuple[str, ...]
    features: dict[str, NDArray[np.float32]]
    present: dict[str, NDArray[np.bool_]]
    speakers: NDArray[np.int64]
    labels: NDArray[np.int64]
    values: NDArray[np.float32] | None = None
    validation: bool = False

    def __len__(self) -> int:
        return len(self.utterances)


@dataclass(frozen=True)
class Batch:
    """B dialogues padded to N utterances.

    Shapes: ``features[f]`` (B, N, F_f); ``present[f]`` (B, N) bool; ``mask`` (B, N) bool, True = a real utterance;
    ``speakers`` (B, N) int; ``labels`` (B, N) int, ``UNLABELLED`` where there is none; ``targets`` (C, C): row c is
    the distribution that is taught where the label is c, None for the label alone; ``values`` (B, N) the numbers of a
    regression, None for classes; ``squared``: its loss is the mean squared error, not the mean absolute one.
    ``validation`` (B,) bool: which dialogues are of the validation split; None: none is.
    """

    features: dict[str, Tensor]
    present: dict[str, Tensor]
    mask: Tensor
    speakers: Tensor
    labels: Tensor
    targets: Tensor | None = None
    values: Tensor | None = None
    squared: bool = False
    validation: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``."""
        return replace(
            self,
            features={name: value.to(device) for name, value in self.features.items()},
            present={name: value.to(device) for name, value in self.present.items()},
            mask=self.mask.to(device),
            speakers=self.speakers.to(device),
            labels=self.labels.to(device),
            targets=None if self.targets is None else self.targets.to(device),
            values=None if self.values is None else self.values.to(device),
            validation=None if self.validation is None else self.validation.to(device),
        )


def collate(dialogues: Sequence[Dialogue], pad_to: int | None = None) -> Batch:
    """Pad to the longest dialogue, or to ``pad_to`` utterances. Padding is zeros, absent and unlabelled."""
    import torch

    length = max(pad_to or 0, *(len(dialogue) for dialogue in dialogues))
    shape = (len(dialogues), length)
    mask = torch.zeros(shape, dtype=torch.bool)
    speakers = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, UNLABELLED, dtype=torch.long)
    widths = {name: array.shape[1] for name, array in dialogues[0].features.items()}
    features = {name: torch.zeros(*shape, width) for name, width in widths.items()}
    present = {name: torch.zeros(shape, dtype=torch.bool) for name in widths}
    numbers = None if dialogues[0].values is None else torch.zeros(shape)
    for row, dialogue in enumerate(dialogues):
        real = slice(0, len(dialogue))
        mask[row, real] = True
        speakers[row, real] = torch.tensor(dialogue.speakers)
        labels[row, real] = torch.tensor(dialogue.labels)
        if numbers is not None and dialogue.values is not None:
            numbers[row, real] = torch.from_numpy(np.nan_to_num(dialogue.values))
        for name in widths:
            present[name][row, real] = torch.tensor(dialogue.present[name])
            values = np.where(dialogue.present[name][:, None], dialogue.features[name], 0)
            features[name][row, real] = torch.from_numpy(values.astype(np.float32, copy=False))
    validation = torch.tensor([dialogue.validation for dialogue in dialogues])
    return Batch(features, present, mask, speakers, labels, values=numbers, validation=validation)
