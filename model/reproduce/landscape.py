"""Figure 5: how a network's representation spreads over principal components, and the loss around its minimum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bigfusion.model.data.batch import UNLABELLED, Dialogue, collate
from bigfusion.model.data.dialogues import true_labels
from bigfusion.model.scoring.predict import predict


@torch.no_grad()
def explained_variance(network: nn.Module, dialogues: Sequence[Dialogue], device: torch.device) -> NDArray[np.float64]:
    """Cumulative share of the variance that the first components of the Transformer's output explain, in [0, 1].

    Shape: (D,): 1, 2, ... components.
    """
    network.eval()
    rows = []
    for dialogue in dialogues:
        output = network(collate([dialogue]).to(device))
        rows.append(output.representations["context"][0, : len(dialogue)].double().cpu().numpy())
    values = np.concatenate(rows)  # (U, D)
    variances = np.linalg.svd(values - values.mean(0), compute_uv=False) ** 2
    shares: NDArray[np.float64] = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
    return shares


@dataclass(frozen=True)
class Landscape:
    """Cross-entropy at the weights plus ``x`` and ``y`` of two random directions. Shape: ``loss`` (y, x)."""

    steps: NDArray[np.float64]
    loss: NDArray[np.float64]


@torch.no_grad()
def landscape(
    network: nn.Module,
    dialogues: Sequence[Dialogue],
    device: torch.device,
    *,
    points: int = 15,
    reach: float = 1.0,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Landscape:
    """The loss on ``dialogues`` over a square of ``points`` x ``points`` around the network, which is left as it was.

    Each direction is Gaussian, and each of its filters (a weight matrix's row) is scaled to the norm of the network's
    own: otherwise networks with small weights look steep (Li et al., 2018, filter normalisation; biases stay).
    """
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    original = [weight.clone() for weight in weights]
    generator = torch.Generator().manual_seed(seed)
    first, second = ([filter_normalised(weight, generator) for weight in weights] for _ in range(2))
    steps = np.linspace(-reach, reach, points)
    loss = np.zeros((points, points))
    true = torch.from_numpy(true_labels(dialogues))
    try:
        for row, y in enumerate(steps):
            for column, x in enumerate(steps):
                for weight, centre, one, other in zip(weights, original, first, second, strict=True):
                    weight.copy_(centre + x * one + y * other)
                logits = predict(network, dialogues, device, len(dialogues))
                loss[row, column] = cross_entropy(logits, true, ignore_index=UNLABELLED).item()
                progress(1)
    finally:
        for weight, centre in zip(weights, original, strict=True):
            weight.copy_(centre)
    return Landscape(steps, loss)


def filter_normalised(weight: Tensor, generator: torch.Generator) -> Tensor:
    """A Gaussian direction whose filters (rows) have the norms of the weight's own. Shape: that of ``weight``."""
    drawn = torch.randn(weight.shape, generator=generator).to(weight)
    axes = tuple(range(1, weight.ndim))
    norm = drawn.norm(dim=axes, keepdim=True).clamp(min=1e-12)
    scaled: Tensor = drawn * (weight.norm(dim=axes, keepdim=True) / norm)
    return scaled
