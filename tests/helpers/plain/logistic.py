"""Logistic regression: utterance by utterance."""

from __future__ import annotations

import torch

from bigfusion.model.data.batch import Batch
from bigfusion.model.networks.base import Output
from bigfusion.model.networks.logistic import Logistic
from tests.helpers.plain.dialogue import read, rows


def plain(network: Logistic, batch: Batch) -> Output:
    """An absent modality counts as its mean, 0."""
    utterances = read(network, batch)
    logits = []
    for place in range(len(utterances)):
        inputs = [
            row[place] if utterances.present[name][place] else torch.zeros_like(row[place])
            for name, row in utterances.features.items()
        ]
        logits.append(network.weight @ torch.cat(inputs) + network.bias)
    return Output(rows(torch.stack(logits)))
