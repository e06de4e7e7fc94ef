"""Multinomial logistic regression with a penalty, on many more columns than rows, in a bounded number of steps.

The columns are means over neighbours, and these resemble each other. A few directions therefore carry most of the
variance, and plain L-BFGS spends its steps on them. Here the weights are written in other coordinates, in which the
penalised loss has about the same curvature in all directions. A randomised sketch (Halko et al. 2011) finds the leading
directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import linear, one_hot

RANK = 128
"""The number of directions that are scaled separately."""

CURVATURE = 0.1
"""A typical p (1 - p), by which the cross-entropy curves along a direction in which the rows have variance 1."""

EVALUATIONS = 60
"""The largest number of passes over the columns, each two products. DECISIONS says how much further the loss would
fall.
"""

TOLERANCE = 1e-7
"""The search ends when the loss falls by less than this share of itself. Float32 columns resolve no smaller fall."""


def penalised_regression(columns: Tensor, labels: Tensor, classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """The multinomial logistic regression that minimises mean cross-entropy + ``penalty`` |W|^2, by L-BFGS.

    The problem is convex. The state of torch's global random generator does not change.

    Shapes: columns (U, K), labels (U,) -> weights (C, K), biases (C,), not penalised.
    """
    target = one_hot(labels, classes).to(columns.dtype)  # (U, C)
    size = classes * columns.shape[1]
    scaling = _scaling(columns, penalty)

    def split(numbers: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        whole = torch.from_numpy(numbers).to(columns.dtype)
        return scaling(whole[:size].view(classes, -1)), whole[size:]

    def objective(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight, bias = split(numbers)
        logs = linear(columns, weight, bias).log_softmax(1)  # (U, C)
        error = (logs.exp() - target) / len(labels)
        value = -(target * logs).sum().double() / len(labels) + penalty * weight.double().square().sum()
        slope = scaling(error.T @ columns + 2 * penalty * weight)  # (C, K)
        return value.item(), torch.cat([slope.flatten().double(), error.sum(0).double()]).numpy()

    options = {"maxfun": EVALUATIONS, "ftol": TOLERANCE, "gtol": 1e-7}
    found = minimize(objective, np.zeros(size + classes), jac=True, method="L-BFGS-B", options=options).x
    return split(found)


@dataclass(frozen=True)
class _Scaling:
    """A symmetric map of weights. It scales the leading directions by less than ``rest``, and all others by ``rest``.

    Shapes: ``directions`` (K, r) orthonormal, ``less`` (r,) relative to 1.
    """

    rest: float
    directions: Tensor
    less: Tensor

    def __call__(self, weight: Tensor) -> Tensor:
        """Shapes: (C, K) -> (C, K)."""
        return self.rest * (weight + ((weight @ self.directions) * self.less) @ self.directions.T)


def _scaling(columns: Tensor, penalty: float) -> _Scaling:
    """The map that scales each direction by about 1 / sqrt(curvature of the loss)."""
    variance, directions = _leading(columns)
    left = columns.double().square().sum() / len(columns) - variance.sum()
    rest = 2 * penalty + CURVATURE * max(left.item(), 0) / min(columns.shape)
    rest = max(rest, torch.finfo(torch.float32).eps)
    less = (rest / (rest + CURVATURE * variance)).sqrt() - 1
    return _Scaling(rest**-0.5, directions, less.to(columns.dtype))


def _leading(columns: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squares along the leading directions, and the directions. Shapes: (U, K) -> (r,) float64, (K, r)."""
    rank = min(RANK, *columns.shape)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(columns.shape[1], rank, generator=generator, dtype=columns.dtype)
    basis, _ = torch.linalg.qr(columns @ start)
    across, _ = torch.linalg.qr(columns.T @ basis)
    basis, _ = torch.linalg.qr(columns @ across)  # (U, r)
    inside = (basis.T @ columns).double()  # (r, K)
    squares, turn = torch.linalg.eigh(inside @ inside.T)
    kept = squares > 1e-6 * squares.max().clamp(min=torch.finfo(torch.float32).tiny)
    directions = inside.T @ (turn[:, kept] / squares[kept].sqrt())
    return squares[kept] / len(columns), directions.to(columns.dtype)
