"""What logits are taught by: cross-entropy over the labelled utterances of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue


def classification_loss(
    logits: Tensor, batch: Batch, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Eq. 11: mean cross-entropy over the labelled real utterances. Without any, it is 0 with a gradient of 0.

    ``smoothing`` is the share of each label that is spread over all classes. ``class_weights`` (C,) multiply each
    class's part of an utterance's loss, as torch's own loss has it: without smoothing its label's weight alone, with it
    what is spread over the others by theirs. The mean still divides by the number of utterances, so that the loss of a
    batch is the sum of its dialogues'. Where the batch has soft ``targets``, those are taught; where it has ``values``,
    the loss is a regression's. Shapes: (B, N, C) -> scalar.
    """
    if batch.values is not None:
        return regression_loss(logits, batch)
    logits, labels, count = labelled_rows(logits, batch)
    taught = labels if batch.targets is None else batch.targets.to(logits.dtype)[labels]
    total = cross_entropy(logits, taught, weight=class_weights, reduction="sum", label_smoothing=smoothing)
    return total / count


def regression_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Mean absolute or squared error over the utterances that have a value. Shapes: (B, N, 1) -> scalar."""
    assert batch.values is not None
    found, _, count = labelled_rows(logits, batch)  # (L, 1)
    missed = found[:, 0] - batch.values[batch.mask & (batch.labels != UNLABELLED)].to(found.dtype)
    return (missed.square() if batch.squared else missed.abs()).sum() / count


def focal_loss(
    logits: Tensor, batch: Batch, gamma: float, smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """Mean of -w_y (1 - p_y)^gamma log p_y over the labelled utterances, (1 - p_y) without gradient.

    A soft target takes the mean of this over its classes. Lin et al., ICCV 2017, differ in nothing but the gradient
    of (1 - p_y). Shapes: (B, N, C) -> scalar.
    """
    logits, labels, count = labelled_rows(logits, batch)
    log_p = logits.log_softmax(-1)  # (L, C)
    terms = -((1 - log_p.detach().exp()) ** gamma) * log_p * target_rows(labels, batch, log_p, smoothing)
    if class_weights is not None:
        terms = terms * class_weights
    return terms.sum() / count


def target_rows(labels: Tensor, batch: Batch, like: Tensor, smoothing: float) -> Tensor:
    """What is taught where the labels are ``labels`` (L,), as distributions. Shape: (L, C), that of ``like``."""
    classes = like.shape[-1]
    rows = one_hot(labels, classes) if batch.targets is None else batch.targets[labels]
    return (1 - smoothing) * rows.to(like.dtype) + smoothing / classes


def labelled_rows(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and labels of the labelled real utterances, and their number, at least 1.

    Shapes: (B, N, C) -> (L, C), (L,), scalar.
    """
    labelled = batch.mask & (batch.labels != UNLABELLED)  # (B, N)
    logits = logits[labelled]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision would blur the logarithm
    return logits, batch.labels[labelled], labelled.sum().clamp(min=1)


def inverse_frequencies(dialogues: Sequence[Dialogue], classes: int) -> Tensor:
    """A weight for each class, 1 over its share of the labels, scaled so that the mean over all labels is 1.

    A class that does not occur has weight 0. Shape: (C,).
    """
    labels = np.concatenate([dialogue.labels for dialogue in dialogues])
    counts = np.bincount(labels[labels != UNLABELLED], minlength=classes)
    occurring = max(int((counts > 0).sum()), 1)
    weights = np.where(counts > 0, counts.sum() / (occurring * np.maximum(counts, 1)), 0)
    return torch.from_numpy(weights).float()
