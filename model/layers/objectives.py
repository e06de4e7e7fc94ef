"""The classification loss: cross-entropy over the labelled utterances of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue


def classification_loss(
    logits: Tensor, batch: Batch, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Eq. 11: mean cross-entropy over the labelled real utterances. Without any, it is 0 with a gradient of 0.

    ``smoothing`` is the share of each label that is spread over all classes. ``class_weights`` (C,) multiply an
    utterance's loss by its label's weight; the mean still divides by the number of utterances, so that the
    dialogues' losses, each weighted by its share, sum to the batch's. Shapes: (B, N, C) -> scalar.
    """
    labelled = batch.mask & (batch.labels != UNLABELLED)  # (B, N)
    logits = logits[labelled]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision would blur the logarithm
    total = cross_entropy(
        logits, batch.labels[labelled], weight=class_weights, reduction="sum", label_smoothing=smoothing
    )
    return total / labelled.sum().clamp(min=1)


def inverse_frequencies(dialogues: Sequence[Dialogue], classes: int) -> Tensor:
    """A weight for each class: 1 / (its share of the labels), scaled so that the mean over all labels is 1.

    A class that does not occur has weight 0. Shape: (C,).
    """
    labels = np.concatenate([dialogue.labels for dialogue in dialogues])
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes)
    occurring = max(int((counts > 0).sum()), 1)
    weights = np.where(counts > 0, counts.sum() / (occurring * np.maximum(counts, 1)), 0)
    return torch.from_numpy(weights).float()
