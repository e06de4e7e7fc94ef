"""Mutual information of two graph embeddings, I(h', h) = E(h') + E(h) - E(h', h), the coordinates being the samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Information = Callable[[Tensor, Tensor], Tensor]
"""Two sets of C embeddings, row by row, to nats. Shapes: (C, D), (C, D) float64 -> (C,)."""


def gaussian_information(first: Tensor, second: Tensor) -> Tensor:
    """-1/2 log(1 - rho^2), rho being the correlation over the D coordinates; 0 where one of the two does not vary.

    1 - rho^2 is taken as the squared residual of one unit vector on the other, which does not cancel near rho = 1, and
    is float64's epsilon at least: 18.02 nats is the most that is told.
    """
    first, second = _unit(first), _unit(second)
    residual = second - (first * second).sum(-1, keepdim=True) * first
    unexplained = residual.square().sum(-1).clamp(torch.finfo(first.dtype).eps, 1)
    varies = first.any(-1) & second.any(-1)
    return torch.where(varies, -0.5 * unexplained.log(), 0)


def histogram_information(first: Tensor, second: Tensor, bins: int) -> Tensor:
    """The plug-in estimate from ``bins`` equal bins between each embedding's own extremes."""
    cell = _binned(first, bins) * bins + _binned(second, bins)  # (C, D)
    share = torch.full_like(first, 1 / first.shape[1])
    joint = first.new_zeros(len(first), bins * bins).scatter_add_(1, cell, share)
    table = joint.view(-1, bins, bins)
    of_first, of_second, of_both = (_entropy(part) for part in (table.sum(2), table.sum(1), joint))
    return of_first + of_second - of_both


def _unit(embeddings: Tensor) -> Tensor:
    """Each row with zero mean and unit length; a constant one becomes 0."""
    centred = embeddings - embeddings.mean(-1, keepdim=True)
    length = centred.norm(dim=-1, keepdim=True)
    rounding = torch.finfo(embeddings.dtype).eps * embeddings.norm(dim=-1, keepdim=True)
    return torch.where(length > rounding, centred / torch.where(length > 0, length, 1), 0)


def _binned(embeddings: Tensor, bins: int) -> Tensor:
    low, high = embeddings.amin(-1, keepdim=True), embeddings.amax(-1, keepdim=True)
    span = torch.where(high > low, high - low, 1)
    return ((embeddings - low) / span * bins).long().clamp(max=bins - 1)


def _entropy(shares: Tensor) -> Tensor:
    summands: Tensor = torch.special.entr(shares)
    return summands.sum(-1)
