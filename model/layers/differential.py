"""Graph attention as a difference of two softmaxes. Attention that both share counts as noise (AMB-DSGDN)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, leaky_relu

from bigfusion.model.data.utterances import to_rows

INITIAL = 0.8 - 0.6 * math.exp(-0.3)
"""lambda before training, where its vectors are zero: 0.3555."""


class DifferentialAttention(nn.Module):
    """gelu((1 - INITIAL) LN((alpha+ - lambda alpha-) u)), u = x W.

    u is split into halves u+ and u-; e_ij = LeakyReLU(a_l . u_i + a_r . u_j + a_rel . R[r_ij]) of each half, alpha its
    softmax over the edges of i; lambda = exp(l1 . r1) - exp(l2 . r2) + INITIAL. R is a vector for each relation.

    Shapes: inputs (V, F), relation (B, N, N): of j -> i at [i, j], 0 where there is no edge; mask (B, N) -> (V, D).
    """

    def __init__(self, inputs: int, width: int, relations: int, relation_width: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, width, bias=False)
        self.left, self.right = nn.Parameter(torch.empty(2, width // 2)), nn.Parameter(torch.empty(2, width // 2))
        self.relations = nn.Parameter(torch.empty(relations, relation_width))
        self.relation_score = nn.Parameter(torch.empty(2, relation_width))
        self.scale = nn.Parameter(torch.empty(4, width // 2))  # l1, r1, l2, r2
        for weight in (self.left, self.right, self.relations, self.relation_score):
            nn.init.xavier_uniform_(weight)
        nn.init.normal_(self.scale, std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def difference(self) -> Tensor:
        """lambda, a scalar."""
        one_left, one_right, two_left, two_right = self.scale
        found: Tensor = (one_left @ one_right).exp() - (two_left @ two_right).exp() + INITIAL
        return found

    def weights(self, halves: Tensor, relation: Tensor) -> Tensor:
        """alpha+ - lambda alpha-; zeros in a row without edges. Shapes: (B, N, 2, D/2), (B, N, N) -> (B, N, N)."""
        left = (halves * self.left).sum(-1).permute(2, 0, 1).unsqueeze(3)  # (2, B, N, 1): of the receiver
        right = (halves * self.right).sum(-1).permute(2, 0, 1).unsqueeze(2)  # (2, B, 1, N): of the source
        known = (self.relation_score @ self.relations.T)[:, relation]  # (2, B, N, N)
        linked = relation > 0
        scores = leaky_relu(left + right + known, 0.2)
        scores = scores.masked_fill(~linked, torch.finfo(scores.dtype).min)
        positive, negative = scores.softmax(-1) * linked
        weights: Tensor = positive - self.difference() * negative
        return weights

    def forward(self, inputs: Tensor, relation: Tensor, mask: Tensor) -> Tensor:
        """Attend along the edges."""
        projected = to_rows(self.project(inputs), mask)  # (B, N, D)
        weights = self.weights(projected.view(*mask.shape, 2, -1), relation)
        attended = (self.dropout(weights).to(projected.dtype) @ projected)[mask]
        return gelu((1 - INITIAL) * self.norm(attended))
