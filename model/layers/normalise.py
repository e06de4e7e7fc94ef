"""Features scaled to zero mean and unit deviation, fitted on the training dialogues. The network reads only these.

openSMILE's functionals span 1e-9 to 1e9 and are sometimes NaN or infinite, so that a linear map cannot read the raw
values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bigfusion.model.data.batch import Dialogue

LIMIT = 10.0
"""Standardised values are clipped to +-LIMIT deviations."""

RESOLUTION = 1e-7
"""If a deviation is below this share of the mean, it is float32's rounding, and the column counts as constant."""


class Standardise(nn.Module):
    """One feature's numbers, standardised: (x - mean) / deviation, clipped to +-10.

    NaN becomes the mean (0), an infinity becomes the limit. A column that was constant in training could teach the
    network nothing, so it is always 0. Mean and deviation lie in the state dict.

    Shapes: (..., F) -> (..., F), finite.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def fit(self, arrays: Sequence[NDArray[np.float32]]) -> None:
        """Compute mean and (population) deviation of the finite values of ``arrays``, each (N, F), in float64."""
        count = np.zeros(self.mean.shape, dtype=np.int64)
        total, squares = np.zeros(self.mean.shape), np.zeros(self.mean.shape)
        for array in arrays:
            count += np.isfinite(array).sum(axis=0)
            total += np.where(np.isfinite(array), array, 0).sum(axis=0, dtype=np.float64)
        mean = total / np.maximum(count, 1)
        for array in arrays:
            squares += np.square(np.where(np.isfinite(array), array - mean, 0)).sum(axis=0)
        deviation = np.sqrt(squares / np.maximum(count, 1))
        varies = deviation > np.maximum(RESOLUTION * np.abs(mean), np.finfo(np.float32).tiny)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(varies, deviation, 0)))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise (..., F)."""
        varies = self.deviation > 0
        scaled = (features - self.mean) / torch.where(varies, self.deviation, 1)
        return torch.where(varies, scaled, 0).nan_to_num(nan=0.0).clamp(-LIMIT, LIMIT)


class Normalise(nn.Module):
    """:class:`Standardise` for each feature of ``widths`` (feature -> F). Unfitted, it only clips features."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict({_key(name): Standardise(width) for name, width in widths.items()})
        self._names = tuple(widths)

    def fit(self, dialogues: Iterable[Dialogue]) -> None:
        """Fit on those utterances of ``dialogues`` that have the feature. Give training dialogues only."""
        dialogues = list(dialogues)
        for name, standardise in self._each():
            standardise.fit([dialogue.features[name][dialogue.present[name]] for dialogue in dialogues])

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Shapes: ``features[m]`` (B, N, F_m) -> the same, finite, for this network's features alone."""
        return {name: standardise(features[name]) for name, standardise in self._each()}

    def _each(self) -> list[tuple[str, Standardise]]:
        return [(name, self.modalities[_key(name)]) for name in self._names]  # type: ignore[misc]


def _key(name: str) -> str:
    """A feature's name as PyTorch takes it: a module's name has no dot."""
    return name.replace(".", "/")
