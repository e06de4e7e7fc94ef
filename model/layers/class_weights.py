"""Weights of the classes in a loss, counted on the training dialogues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import UNLABELLED, Dialogue


class ClassWeights(nn.Module):
    """(1 / frequency)^``power`` of each class, scaled so that the mean over all training labels is 1.

    ``power`` 0 means no weights, 1 means inverse frequencies. A class that does not occur has weight 0.
    """

    weights: Tensor

    def __init__(self, classes: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("weights", torch.ones(classes))

    @torch.no_grad()
    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Count the labels."""
        labels = np.concatenate([dialogue.labels for dialogue in dialogues])
        counts = np.bincount(labels[labels != UNLABELLED], minlength=len(self.weights)).astype(np.float64)
        weights = np.where(counts > 0, np.maximum(counts, 1) ** -self.power, 0)
        total = (weights * counts).sum()
        if total > 0:
            self.weights.copy_(torch.from_numpy(weights * counts.sum() / total))

    def forward(self) -> Tensor | None:
        """The weights (C,). ``None`` if ``power`` is 0, so that all classes count alike."""
        return self.weights if self.power else None
