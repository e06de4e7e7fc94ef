"""Graph contrastive learning between two graphs of the same nodes (Eqs. 1-3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bigfusion.model.data.batch import UNLABELLED

TINY = 1e-6
"""Vectors shorter than this are not scaled up. A node that activates no unit of the encoder is similar to none (cosine
0).
"""


def contrastive_loss(
    first: Tensor, second: Tensor, mask: Tensor, temperature: float, positives: Tensor | None = None
) -> Tensor:
    """L_cl of Eq. 3 over all real nodes, the mean of both directions.

    For node i of ``first``, the positive is the same node of ``second``. The inter-view loss (Eq. 1) sets it against
    all nodes of ``second``; the intra-view loss against itself and the other nodes of ``first``. Eq. 2 is printed
    identical to Eq. 1; the text above it says what its negatives are. Nodes of one row are each other's negatives; a
    node without any (a dialogue of one) has loss 0.

    ``positives`` names several positives of each node, itself among them: the numerators of both losses are then sums
    over them, in the graph that the loss looks at. Those that ``mask`` leaves out count for nothing.

    Shapes: first, second (B, N, D), mask (B, N) bool, positives (B, N, N) bool -> scalar.
    """
    first, second = normalize(first, dim=-1, eps=TINY), normalize(second, dim=-1, eps=TINY)
    between = first @ second.transpose(1, 2) / temperature  # (B, N, N): cosine similarities
    losses = _node_losses(between, first @ first.transpose(1, 2) / temperature, mask, positives)
    back, within = between.transpose(1, 2), second @ second.transpose(1, 2) / temperature
    losses = losses + _node_losses(back, within, mask, positives)
    return losses.sum() / (4 * mask.sum().clamp(min=1))  # 2 n of Eq. 3, and two directions


def _node_losses(between: Tensor, within: Tensor, mask: Tensor, positives: Tensor | None) -> Tensor:
    """L_inter + L_intra of each node, 0 where padded. Shapes: (B, N, N), (B, N, N), (B, N) -> (B, N)."""
    lowest = torch.finfo(between.dtype).min
    own = between.diagonal(dim1=1, dim2=2)  # (B, N)
    same = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    within = torch.where(same, between, within)  # the anchor itself makes room for its positive
    total = torch.zeros_like(own)
    for similarity in (between, within):
        against = torch.where(mask.unsqueeze(1), similarity, lowest).logsumexp(2)
        if positives is None:
            total = total + (against - own)
        else:
            total = total + against - torch.where(positives & mask.unsqueeze(1), similarity, lowest).logsumexp(2)
    return torch.where(mask, total, 0)


def supervised_contrast(first: Tensor, second: Tensor, labels: Tensor, group: Tensor, temperature: float) -> Tensor:
    """Contrast of two views with the labels as a teacher (Khosla et al. 2020): the option beside Eqs. 1-3.

    Every node of both views is set against all others of its ``group`` in both; its positives are those of its label,
    itself in the other view among them. A node without a label has that one positive. In place of Eqs. 1 and 2, whose
    negatives are mostly of the anchor's own emotion in a dialogue that dwells on one.

    Shapes: first, second (V, D); labels (V,) int, ``UNLABELLED`` where there is none; group (V,) int -> scalar.
    """
    nodes, labels, group = len(labels), labels.repeat(2), group.repeat(2)
    both = normalize(torch.cat([first, second]), dim=-1, eps=TINY)  # (2V, D)
    similarity = both @ both.T / temperature  # (2V, 2V)
    place = torch.arange(2 * nodes, device=labels.device)
    other = (group.unsqueeze(1) == group) & (place.unsqueeze(1) != place)
    alike = (labels.unsqueeze(1) == labels) & (labels != UNLABELLED)
    positive = other & (alike | (place.unsqueeze(1) % max(nodes, 1) == place % max(nodes, 1)))
    against = torch.where(other, similarity, torch.finfo(similarity.dtype).min).logsumexp(1)  # (2V,)
    agreement = torch.where(positive, similarity, 0).sum(1) / positive.sum(1)
    return (against - agreement).sum() / max(2 * nodes, 1)
