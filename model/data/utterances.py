"""The real utterances of a batch, packed. Layers that work on each utterance alone never see padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Utterances:
    """A batch's V real utterances, dialogue after dialogue, with standardised features.

    Shapes: ``features[m]`` (V, F_m), zeros where absent; ``present[m]`` (V,) bool, m a modality or one of several
    features of it; ``dialogue`` (V,) the row in the batch; ``speaker`` (V,), numbered from 0 within the dialogue;
    ``mask`` (B, N) bool, True = real; ``speakers`` (B, N).
    """

    features: dict[str, Tensor]
    present: dict[str, Tensor]
    dialogue: Tensor
    speaker: Tensor
    mask: Tensor
    speakers: Tensor

    @property
    def lengths(self) -> Tensor:
        """Utterances of each dialogue. Shape: (B,)."""
        return self.mask.sum(1)

    @property
    def joined(self) -> Tensor:
        """All features side by side. Shape: (V, sum of F_m)."""
        return torch.cat(list(self.features.values()), dim=1)

    def rows(self, packed: Tensor) -> Tensor:
        """Unpack into the batch's rows, with zeros as padding. Shapes: (V, ...) -> (B, N, ...)."""
        return to_rows(packed, self.mask)

    def packed(self, rows: Tensor) -> Tensor:
        """Pack the batch's rows again. Shapes: (B, N, ...) -> (V, ...)."""
        return rows[self.mask]


def to_rows(packed: Tensor, mask: Tensor) -> Tensor:
    """Unpack utterances into the batch's rows, zeros as padding. Shapes: (V, ...), (B, N) bool -> (B, N, ...)."""
    rows = packed.new_zeros(*mask.shape, *packed.shape[1:])
    return rows.masked_scatter(mask.view(*mask.shape, *(1 for _ in packed.shape[1:])), packed)
