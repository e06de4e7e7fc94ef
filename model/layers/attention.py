"""Dual attention on spiking queries, keys and values: the whole dialogue and a sliding window (Eqs. 4-7).

Utterances of a dialogue stand first in its row, padding behind them. Shapes: H heads of d_k = D / H channels, w the
window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.spiking import RateCoding


def global_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Eq. 4 over all real utterances of a dialogue; what a padded query gets is finite and means nothing.

    Shapes: query, key, value (B, H, N, d_k), mask (B, N) bool -> (B, H, N, d_k).
    """
    seen = mask | ~mask.any(
        1, keepdim=True
    )  # a row of padding alone looks at itself, for a softmax over nothing is NaN
    return scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])


def local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, fusion: Tensor) -> Tensor:
    """Eq. 5: every window of w consecutive utterances, stride 1, attends within itself; the windows are then fused.

    The windows of a dialogue of n utterances start at s = 1 - w, ..., n - 1 and hold those of the utterances
    s, ..., s + w - 1 that exist: at both ends they are clipped, and their softmax runs over what is left. So each
    utterance lies in exactly w windows, once at each offset o = i - s, and its w outputs are added with the weights
    ``fusion[o]``, which sum to 1. No window holds padding, and none is made of padding alone.

    All windows of utterance i lie within i +- (w - 1) and differ in the softmax's range only: the 2w - 1 scores are
    computed once, one softmax for each offset spreads over its range, and the values meet the fused weights once.
    Time and memory grow with N (2w - 1) d_k.

    Shapes: query, key, value (B, H, N, d_k), mask (B, N) bool, fusion (w,) -> (B, H, N, d_k); padded queries get zeros.
    """
    window, reach = len(fusion), len(fusion) - 1
    keys, values = (pad(rows, (0, 0, reach, reach)) for rows in (key, value))  # (B, H, N + 2 reach, d_k)
    shifts = [slice(start, start + query.shape[2]) for start in range(2 * window - 1)]
    scores = torch.stack([(query * keys[:, :, shift]).sum(-1) for shift in shifts], dim=-1)  # (B, H, N, 2w-1)
    scores = scores / math.sqrt(query.shape[-1])

    relative = torch.arange(-reach, window, device=query.device)  # (2w-1,): the key's position less the query's
    offset = torch.arange(window, device=query.device).unsqueeze(1)  # (w, 1): the query's place in the window
    inside = (relative >= -offset) & (relative < window - offset)  # (w, 2w-1)
    real = pad(mask, (reach, reach)).unfold(1, 2 * window - 1, 1)  # (B, N, 2w-1)
    seen = inside & real[:, None, :, None, :]  # (B, 1, N, w, 2w-1)

    lowest = torch.finfo(scores.dtype).min
    attention = torch.where(seen, scores.unsqueeze(-2), lowest).softmax(-1)  # (B, H, N, w, 2w-1)
    fused = torch.einsum("o,bhnor->bhnr", fusion, attention) * mask[:, None, :, None]
    output = torch.zeros_like(value)
    for place, shift in enumerate(shifts):
        output = output + fused[..., place, None] * values[:, :, shift]
    return output


@dataclass(frozen=True)
class Attended:
    """Shapes: ``output`` (V, D); ``firing``: the rates of query, key and value (V, D) each, empty if not spiking."""

    output: Tensor
    firing: dict[str, Tensor]


class DualAttention(nn.Module):
    """A = alpha A_G + (1 - alpha) A_L on the same (spiking) Q, K and V (Eqs. 4-7), multi-headed.

    ``alpha`` = 1 leaves the local part out, 0 the global one: neither its time nor its parameters are spent.
    ``spiking`` = None leaves Q, K and V as they are.

    The V real utterances of a batch stand packed, dialogue after dialogue: what is done to each alone is not done to
    padding. Only attention itself sees rows.

    Shapes: inputs (V, D), mask (B, N) bool with V True = real -> output (V, D).
    """

    def __init__(self, width: int, heads: int, alpha: float, window: int, spiking: RateCoding | None) -> None:
        super().__init__()
        self.heads = heads
        self.alpha = alpha
        self.spiking = spiking
        self.query_key_value = nn.Linear(width, 3 * width)
        self.fusion = nn.Parameter(torch.zeros(window)) if alpha < 1 else None  # softmax over the offset in the window
        self.output = nn.Linear(width, width)

    def forward(self, inputs: Tensor, mask: Tensor) -> Attended:
        """Attend among the real utterances of each dialogue."""
        current = self.query_key_value(inputs)  # (V, 3D)
        coded = current if self.spiking is None else self.spiking(current)
        query, key, value = (self._heads(part) for part in to_rows(coded, mask).chunk(3, dim=-1))  # (B, H, N, d_k)

        attended = torch.zeros_like(query)
        if self.alpha > 0:
            attended = attended + self.alpha * global_attention(query, key, value, mask)
        if self.fusion is not None:
            local = local_attention(query, key, value, mask, self.fusion.softmax(0))
            attended = attended + (1 - self.alpha) * local

        packed = attended.transpose(1, 2)[mask].flatten(1)  # (V, D)
        return Attended(self.output(packed), self._firing(coded))

    def _heads(self, part: Tensor) -> Tensor:
        return part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)

    def _firing(self, coded: Tensor) -> dict[str, Tensor]:
        if self.spiking is None:
            return {}
        parts = zip(("query", "key", "value"), coded.detach().chunk(3, dim=-1), strict=True)
        return dict(parts)
