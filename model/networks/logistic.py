"""Multinomial logistic regression on the standardised features of each utterance alone: what no context is worth.

Nothing is learned by gradient steps. The problem is convex; it is solved once, before the first epoch, and the weights
travel in the state dict. Every epoch of a training therefore shows the same scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue, collate
from bigfusion.model.layers.regression import penalised_regression
from bigfusion.model.network_settings.logistic import LogisticSettings
from bigfusion.model.networks.base import Network, Output


class Logistic(Network):
    """The classifier; an absent modality counts as its mean. Before it is fitted all classes are alike.

    Several features of a modality stand side by side whatever ``fusion`` says: a sum's weights are learned by steps.
    """

    causal = True
    absent_vectors = False
    weight: Tensor
    bias: Tensor

    def __init__(self, settings: LogisticSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings.model_copy(update={"fusion": "concatenate"}), widths)  # no step could learn weights
        self.penalty = settings.penalty
        self.register_buffer("weight", torch.zeros(classes, sum(self.widths.values())))
        self.register_buffer("bias", torch.zeros(classes))

    @torch.no_grad()
    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Solve for the weights on the labelled utterances."""
        super().fit(dialogues)
        labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
        columns = torch.cat([self.read(collate([dialogue])).joined for dialogue in dialogues]).float()
        labelled = labels != UNLABELLED
        weight, bias = penalised_regression(columns[labelled], labels[labelled], len(self.bias), self.penalty)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        return Output(utterances.rows(linear(utterances.joined, self.weight, self.bias)))


NETWORK = Logistic
