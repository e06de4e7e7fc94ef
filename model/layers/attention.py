"""Dual attention on spiking queries, keys and values: the whole dialogue and a sliding window (Eqs. 4-7).

In a row the utterances of the dialogue come first, then the padding. Shapes: H heads of d_k = D / H channels; w is the
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
    """Eq. 4 over all real utterances of a dialogue. The output of a padded query is finite and has no meaning.

    Shapes: query, key, value (B, H, N, d_k), mask (B, N) bool -> (B, H, N, d_k).
    """
    seen = mask | ~mask.any(
        1, keepdim=True
    )  # a softmax over nothing is NaN, so a row of padding alone attends to itself
    return scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None, None, :])


def local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, fusion: Tensor) -> Tensor:
    """Eq. 5: every window of w consecutive utterances (stride 1) attends within itself. Then the windows are fused.

    The windows of a dialogue of n utterances start at s = 1 - w, ..., n - 1. A window holds those of the utterances
    s, ..., s + w - 1 that exist: at both ends it is clipped, and its softmax runs over the rest. So utterance i lies in
    exactly w windows, once at each offset o = i - s. Its w outputs are added with the weights ``fusion[o]``, which sum
    to 1. No window holds padding, and every window holds at least one utterance.

    All windows of utterance i lie within i +- (w - 1) and differ only in the range of the softmax. So the 2w - 1 scores
    are computed once, each offset has a softmax over its own range, and the values are multiplied once, by the fused
    weights. Time and memory grow with N (2w - 1) d_k.

    Shapes: query, key, value (B, H, N, d_k), mask (B, N) bool, fusion (w,) -> (B, H, N, d_k); padded queries get zeros.
    """
    window, reach = len(fusion), len(fusion) - 1
    keys, values = (pad(rows, (0, 0, reach, reach)) for rows in (key, value))  # (B, H, N + 2 reach, d_k)
    shifts = [slice(start, start + query.shape[2]) for start in range(2 * window - 1)]
    scores = torch.stack([(query * keys[:, :, shift]).sum(-1) for shift in shifts], dim=-1)  # (B, H, N, 2w-1)
    scores = scores / math.sqrt(query.shape[-1])

    relative = torch.arange(-reach, window, device=query.device)  # (2w-1,): the key's position minus the query's
    offset = torch.arange(window, device=query.device).unsqueeze(1)  # (w, 1): the query's position in the window
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

    ``alpha`` = 1 leaves out the local part and 0 the global part, with their parameters and their computation.
    ``spiking`` = None uses Q, K and V without spikes.

    The V real utterances of a batch are packed, dialogue after dialogue, so that no computation on single utterances
    is wasted on padding. Only attention itself works on padded rows.

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
