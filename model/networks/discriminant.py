"""Linear discriminant analysis of each utterance alone: what BIG-FUSION becomes on a corpus of single utterances.

Nothing is chosen on the validation split: there are no epochs, and the shrinkage is a setting. So the validation
utterances need not be lost to the fit. There are two fits. One learned from the training utterances alone, and judges
the validation utterances. The other learned from both, and judges everything else. Which one answers is told by the
features themselves, of which the network keeps a digest for each validation utterance: no caller can make it judge an
utterance of the validation split by a fit that has seen it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bigfusion.model.data.batch import UNLABELLED, Batch, Dialogue, collate
from bigfusion.model.layers.shrinkage import discriminant
from bigfusion.model.network_settings.discriminant import DiscriminantSettings
from bigfusion.model.networks.base import Network, Output

ALL, WITHOUT_VALIDATION = 0, 1


class Discriminant(Network):
    """The classifier; an absent modality counts as its mean. Before it is fitted all classes are alike."""

    causal = True
    weight: Tensor
    bias: Tensor
    held: Tensor

    def __init__(self, settings: DiscriminantSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings, widths)
        self.shrinkage = settings.shrinkage
        self.register_buffer("weight", torch.zeros(2, classes, sum(self.widths.values())))
        self.register_buffer("bias", torch.zeros(2, classes))
        self.register_buffer("held", torch.zeros(0, dtype=torch.long))

    @torch.no_grad()
    def prepare(self, train: Sequence[Dialogue], valid: Sequence[Dialogue]) -> None:
        """Fit on the training utterances, and once more with those of the validation split."""
        self.fit(train)
        self._solve(ALL, [*train, *valid])
        self.held = torch.cat([self._digests(collate([dialogue])) for dialogue in valid])

    @torch.no_grad()
    def fit(self, dialogues: Sequence[Dialogue]) -> None:
        """Solve for the weights on the labelled utterances that have a feature."""
        super().fit(dialogues)
        for which in (ALL, WITHOUT_VALIDATION):
            self._solve(which, dialogues)

    def _solve(self, which: int, dialogues: Sequence[Dialogue]) -> None:
        utterances = [self.read(collate([dialogue])) for dialogue in dialogues]
        labels = torch.from_numpy(np.concatenate([dialogue.labels for dialogue in dialogues]))
        columns = torch.cat([each.joined for each in utterances]).to(self.weight.dtype)
        present = torch.cat([torch.stack(list(each.present.values())).any(0) for each in utterances])
        taught = (labels != UNLABELLED) & present
        if not taught.any():
            return
        weight, bias = discriminant(columns[taught], labels[taught], self.bias.shape[1], self.shrinkage)
        self.weight[which], self.bias[which] = weight, bias

    def forward(self, batch: Batch) -> Output:
        """Read a batch."""
        utterances = self.read(batch)
        both = torch.einsum("vk,fck->fvc", utterances.joined, self.weight) + self.bias.unsqueeze(1)  # (2, V, C)
        held = torch.isin(self._digests(batch), self.held)  # (V,)
        return Output(utterances.rows(both[WITHOUT_VALIDATION].where(held.unsqueeze(1), both[ALL])))

    def _digests(self, batch: Batch) -> Tensor:
        """A number for each real utterance's stored features, bit by bit. Shape: (V,) int64."""
        mask = batch.mask
        found = torch.zeros(int(mask.sum()), dtype=torch.long, device=mask.device)
        for place, name in enumerate(self.stored):
            present = batch.present[name][mask]
            rows = batch.features[name][mask].float().where(present.unsqueeze(1), 0)  # (V, F)
            bits = rows.contiguous().view(torch.int32).long()
            found = found + (bits * _multipliers(place, rows.shape[1]).to(mask.device)).sum(1) + present * (place + 1)
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """As every module; first it makes room for as many digests as the checkpoint holds."""
        if (held := state_dict.get(f"{prefix}held")) is not None:
            self.held = torch.zeros_like(held)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _multipliers(seed: int, width: int) -> Tensor:
    """Odd 64-bit numbers without a pattern (Steele et al., 2014: SplitMix64). Shape: (F,) int64."""
    mixed = (np.arange(1, width + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy(((mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)).view(np.int64))


NETWORK = Discriminant
