"""Linear discriminant analysis of each utterance alone: what BIG-FUSION becomes on a corpus of single utterances.

Nothing is chosen on the validation split: there are no epochs, and the shrinkage is a setting. So the validation
utterances need not be lost to the fit. There are two fits. One learned from the training utterances alone, and judges
what is marked as of the validation split. The other learned from both, and judges everything else. So the name of a
dialogue counts for nothing.
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
    """The classifier; an absent modality counts as its mean. Before it is fitted all classes are alike.

    Several features of a modality stand side by side whatever ``fusion`` says: a sum's weights are learned by steps.
    """

    causal = True
    absent_vectors = False
    weight: Tensor
    bias: Tensor

    def __init__(self, settings: DiscriminantSettings, widths: Mapping[str, int], classes: int) -> None:
        super().__init__(settings.model_copy(update={"fusion": "concatenate"}), widths)  # no step could learn weights
        self.shrinkage = settings.shrinkage
        self.register_buffer("weight", torch.zeros(2, classes, sum(self.widths.values())))
        self.register_buffer("bias", torch.zeros(2, classes))

    @torch.no_grad()
    def prepare(self, train: Sequence[Dialogue], valid: Sequence[Dialogue]) -> None:
        """Fit on the training utterances, and once more with those of the validation split."""
        self.fit(train)
        self._solve(ALL, [*train, *valid])

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
        if batch.validation is None:
            return Output(utterances.rows(both[ALL]))
        held = batch.validation[utterances.dialogue]  # (V,)
        return Output(utterances.rows(both[WITHOUT_VALIDATION].where(held.unsqueeze(1), both[ALL])))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """As every module, without the ids of the validation dialogues that checkpoints of earlier versions hold."""
        state_dict.pop(f"{prefix}held", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)


NETWORK = Discriminant
