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

BLOCK = 16
"""Queries whose local attention is one product of matrices."""

RANGE = 600.0
"""How far apart scores may be for their exponentials in float64: exp(-745) is 0."""


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
    are computed once, and the values are multiplied once, by the fused weights. Both are products of small matrices:
    ``BLOCK`` queries with the keys that any of them reaches. Time and memory grow with N.

    Shapes: query, key, value (B, H, N, d_k), mask (B, N) bool, fusion (w,) -> (B, H, N, d_k); padded queries get zeros.
    """
    reach, length = len(fusion) - 1, query.shape[2]
    blocks = -(-length // BLOCK)  # K
    end = blocks * BLOCK - length
    span = BLOCK + 2 * reach  # keys that a block reaches
    keys, values = (pad(rows, (0, 0, reach, reach + end)).unfold(2, span, BLOCK) for rows in (key, value))
    queries = torch.unflatten(pad(query, (0, 0, 0, end)), 2, (blocks, BLOCK))  # (B, H, K, BLOCK, d_k)
    band = _band(queries @ keys, 2 * reach + 1) / math.sqrt(query.shape[-1])  # (B, H, K, BLOCK, 2w-1)
    seen = pad(mask, (reach, reach + end)).unfold(1, 2 * reach + 1, 1)  # (B, K * BLOCK, 2w-1)
    seen = seen | ~pad(mask, (0, end)).unsqueeze(-1)  # a padded query sees all, so that no softmax is over nothing
    unseen = ~torch.unflatten(seen, 1, (blocks, BLOCK))[:, None]
    fused = _fused_windows(band.masked_fill(unseen, torch.finfo(band.dtype).min), fusion)
    output = _matrix(fused, span) @ values.transpose(-1, -2)  # (B, H, K, BLOCK, d_k)
    return output.flatten(2, 3)[:, :, :length] * mask[:, None, :, None]


def _band(matrix: Tensor, width: int) -> Tensor:
    """Of row i the elements i, ..., i + width - 1. Shapes: (..., R, R + width - 1) -> (..., R, width)."""
    rows, columns = matrix.shape[-2:]
    return torch.unflatten(pad(matrix.flatten(-2), (0, rows)), -1, (rows, columns + 1))[..., :width]


def _matrix(band: Tensor, columns: int) -> Tensor:
    """The matrix with that band, zero elsewhere. Shapes: (..., R, width) -> (..., R, columns)."""
    rows, width = band.shape[-2:]
    longer = pad(band, (0, columns + 1 - width)).flatten(-2)  # each row is one element late: it moves by one
    return torch.unflatten(longer[..., : rows * columns], -1, (rows, columns))


def _fused_windows(scores: Tensor, fusion: Tensor) -> Tensor:
    """The weight of each key within reach: a softmax in each of the w windows, fused.

    On a CPU the exponentials are taken once for all windows, in float64, whose range holds any two scores that are less
    than ``RANGE`` apart. Otherwise each window has a softmax of its own. The results agree.

    Shapes: scores (..., 2w-1), fusion (w,) -> (..., 2w-1).
    """
    window = len(fusion)
    relative = torch.arange(1 - window, window, device=scores.device)  # the key's position minus the query's
    offset = torch.arange(window, device=scores.device).unsqueeze(1)  # the query's position in the window
    inside = (relative >= -offset) & (relative < window - offset)  # (w, 2w-1)
    if scores.device.type == "cpu" and not torch.compiler.is_compiling():
        precise = scores.double()
        highest = precise.detach().amax(-1, keepdim=True)
        below = precise - highest  # padding is far below, or all there is
        if not bool(((below < -RANGE) & (scores > torch.finfo(scores.dtype).min / 2)).any()):
            exponentials, within = below.exp(), inside.double()
            total = exponentials @ within.T  # (..., w): of each window
            return (exponentials * ((fusion.double() / total) @ within)).to(scores.dtype)
    lowest = torch.finfo(scores.dtype).min
    attention = torch.where(inside, scores.unsqueeze(-2), lowest).softmax(-1)  # (..., w, 2w-1)
    return torch.einsum("o,...or->...r", fusion, attention)


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
