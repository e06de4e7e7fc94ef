"""Several features of a modality become one: side by side, or a sum of their projections by learned weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bigfusion.pipeline.schema import FeatureName


class WeightedSum(nn.Module):
    """Features of several widths as one: a linear map of each to D, summed by weights that are learned.

    The weights are a softmax over one number for each feature. Where a feature is absent, the others share its weight.

    Shapes: ``rows[f]`` (V, F_f), ``present[f]`` (V,) bool -> (V, D), zeros where all are absent.
    """

    def __init__(self, widths: list[int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.Linear(stored, width) for stored in widths])
        self.weights = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, rows: list[Tensor], present: list[Tensor]) -> Tensor:
        """Sum."""
        there = torch.stack(present, dim=1)  # (V, k)
        any_there = there.any(1, keepdim=True)  # (V, 1)
        logits = self.weights.masked_fill(~there & any_there, float("-inf"))  # (V, k)
        weights = logits.softmax(1) * there  # zeros where all are absent
        projected = torch.stack([project(row) for project, row in zip(self.projections, rows, strict=True)], dim=1)
        return torch.einsum("vk,vkd->vd", weights, projected)


class Merge(nn.Module):
    """The features of ``stored`` (feature -> F, standardised, zeros where absent) as one for each modality.

    Without ``width`` several features of a modality stand side by side. With ``width`` they are a :class:`WeightedSum`
    of this width. A single feature stays what it is. A modality is absent where all of its features are.

    ``widths`` maps each modality to its width, ``parts`` to its features. Shapes: ``features[f]`` (V, F_f),
    ``present[f]`` (V,) bool -> ``features[m]`` (V, F_m), ``present[m]`` (V,).
    """

    def __init__(self, stored: Mapping[str, int], width: int | None = None) -> None:
        super().__init__()
        self.parts: dict[str, list[str]] = {}
        for name in stored:
            self.parts.setdefault(FeatureName(name).modality.value, []).append(name)
        self.sums = nn.ModuleDict()
        self.widths: dict[str, int] = {}
        for modality, parts in self.parts.items():
            self.widths[modality] = sum(stored[name] for name in parts)
            if width is not None and len(parts) > 1:
                self.sums[modality] = WeightedSum([stored[name] for name in parts], width)
                self.widths[modality] = width

    def forward(
        self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Merge."""
        merged, there = {}, {}
        for modality, parts in self.parts.items():
            rows, masks = [features[name] for name in parts], [present[name] for name in parts]
            there[modality] = masks[0] if len(parts) == 1 else torch.stack(masks).any(0)
            if modality in self.sums:
                merged[modality] = self.sums[modality](rows, masks)
            else:
                merged[modality] = rows[0] if len(parts) == 1 else torch.cat(rows, dim=1)
        return merged, there
