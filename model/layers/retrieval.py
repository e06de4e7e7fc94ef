"""A vote of the training utterances whose words are like an utterance's own.

Corpora repeat themselves: five pairs of actors read IEMOCAP's scripts, and people say "oh my god". A network from a
hundred dialogues does not remember such lines one by one. The vote interpolates with its prediction as kNN-LM does
with a language model's (Khandelwal et al., 2020), but as a product, and over all utterances with a soft kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from bigfusion.model.data.batch import UNLABELLED


class Retrieval(nn.Module):
    """Log odds of the classes against their shares in training, by the training utterances with like words.

    Each of these votes for its class with exp(``sharpness`` (cos - 1)), cos being the cosine of both texts'
    standardised features; the shares themselves vote with ``prior``. Where the text is absent, and before :meth:`fit`,
    all odds are 0. The texts and labels are buffers and lie in the state dict, 4 F + 8 bytes an utterance.

    Shapes: ``texts`` (V, F), ``present`` (V,) bool -> (V, C).
    """

    texts: Tensor
    labels: Tensor

    def __init__(self, width: int, classes: int, sharpness: float, prior: float) -> None:
        super().__init__()
        self.classes, self.sharpness, self.prior = classes, sharpness, prior
        self.register_buffer("texts", torch.zeros(0, width))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.long))

    @torch.no_grad()
    def fit(self, texts: Iterable[Tensor], present: Tensor, labels: Tensor) -> None:
        """Remember the texts, given in parts (V, F), that are ``present`` (U,) and have ``labels`` (U,)."""
        known = present & (labels != UNLABELLED)
        self.texts = normalize(torch.cat([self.texts[:0], *texts])[known])
        self.labels = labels[known]

    def forward(self, texts: Tensor, present: Tensor) -> Tensor:
        """The odds that the vote gives."""
        votes = one_hot(self.labels, self.classes).to(self.texts.dtype)  # (N, C)
        counts = votes.sum(0)
        shares = counts / counts.sum().clamp(min=1)
        with torch.autocast(texts.device.type, enabled=False):  # a kernel of bfloat16's cosines is another kernel
            cosine = normalize(texts.to(self.texts.dtype)) @ self.texts.T  # (V, N)
            heard = (self.sharpness * (cosine - 1)).exp() @ votes
        posterior = (heard + self.prior * shares) / (heard.sum(1, keepdim=True) + self.prior)
        odds = torch.where(counts > 0, (posterior / shares).log(), 0)
        return odds.where(present.unsqueeze(1), 0)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *others: Any) -> None:
        for name in ("texts", "labels"):  # as many rows as were remembered
            own, stored = getattr(self, name), state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, own.new_zeros(len(stored), *own.shape[1:]))
        super()._load_from_state_dict(state_dict, prefix, *others)
