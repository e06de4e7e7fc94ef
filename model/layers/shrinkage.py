"""Linear discriminant analysis from fewer utterances than columns, by a covariance that is shrunken towards a sphere.

Every class is a Gaussian; all share one covariance, that of the utterances around their class's mean. Directions in
which utterances of one emotion differ (voices, words, rooms) then count little, which a penalty on weights does not do.
From n utterances at most n directions of the covariance are known. It is therefore mixed with the same variance in
every direction: the mean one of the known directions (compare Friedman, 1989, who takes the mean of all columns, near
zero if there are many more columns than utterances).
"""

from __future__ import annotations

import torch
from torch import Tensor

NEVER = -1e4
"""The logit of a class without a training utterance."""

KNOWN = 1e-9
"""A direction is known if its variance is above this share of the largest."""


def discriminant(columns: Tensor, labels: Tensor, classes: int, shrinkage: float) -> tuple[Tensor, Tensor]:
    """The weights and biases of the log posteriors (up to a constant), solved in float64.

    The covariance is (1 - ``shrinkage``) S + ``shrinkage`` v I, where S is the mean of the outer products around the
    class means and v the mean of S's positive eigenvalues. Priors are the classes' shares.

    Shapes: columns (U, K), labels (U,) -> (C, K), (C,) of the columns' type.
    """
    rows = columns.double()
    count = torch.bincount(labels, minlength=classes)  # (C,)
    mean = rows.new_zeros(classes, rows.shape[1]).index_add_(0, labels, rows)
    mean = mean / count.clamp(min=1).unsqueeze(1)  # (C, K)
    variance, directions = _known(rows - mean[labels])
    sphere = variance.mean() if len(variance) else rows.new_ones(())
    inside = 1 / ((1 - shrinkage) * variance + shrinkage * sphere)  # (r,)
    outside = 1 / (shrinkage * sphere)
    weight = outside * mean + ((mean @ directions) * (inside - outside)) @ directions.T  # (C, K)
    bias = (count / count.sum()).log() - (weight * mean).sum(1) / 2
    return weight.to(columns.dtype), bias.where(count > 0, NEVER).to(columns.dtype)


def _known(residuals: Tensor) -> tuple[Tensor, Tensor]:
    """The covariance's positive eigenvalues and their directions. Shapes: (U, K) -> (r,), (K, r)."""
    residuals = residuals / len(residuals) ** 0.5
    if residuals.shape[1] <= len(residuals):
        variance, directions = torch.linalg.eigh(residuals.T @ residuals)
        known = variance > KNOWN * variance.amax()
        return variance[known], directions[:, known]
    variance, across = torch.linalg.eigh(residuals @ residuals.T)
    known = variance > KNOWN * variance.amax()
    return variance[known], residuals.T @ (across[:, known] / variance[known].sqrt())
