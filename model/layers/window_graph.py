"""Graph attention (GATv2) within a window of utterances, without a vector for each edge.

PyG's layer gathers both ends of every edge and keeps their sum: with 33 neighbours, four heads and 200 channels these
are hundreds of MiB, which no cache holds, and moving them is most of its time. In a window an edge is an utterance and
an offset. So here the scores are made offset by offset, some utterances at a time, in the backward pass once more, and
the values are summed by products of small matrices.

The V real utterances of a batch are packed, dialogue after dialogue. Shapes: H heads of C channels; W = past + 1 +
future offsets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, pad
from torch_geometric.nn import GATv2Conv

ROWS = 256
"""Utterances whose scores are made at a time."""

BLOCK = 16
"""Utterances whose values are summed by one product of matrices."""


def _pairs(length: int, past: int, future: int) -> Iterator[tuple[int, slice, slice]]:
    """For each offset and some receivers at a time: the offset's number, the receivers and the sources."""
    for start in range(0, length, ROWS):
        for number, offset in enumerate(range(-past, future + 1)):
            first, last = max(start, -offset), min(start + ROWS, length, length - offset)
            if first < last:
                yield number, slice(first, last), slice(first + offset, last + offset)


class _Scores(torch.autograd.Function):
    """a . LeakyReLU(target_i + source_j) of each receiver i and offset; 0 where there is no j.

    Shapes: target, source (V, H, C), vector (H, C) -> (W, V, H).
    """

    @staticmethod
    def forward(target: Tensor, source: Tensor, vector: Tensor, past: int, future: int, slope: float) -> Tensor:
        scores = target.new_zeros(past + 1 + future, *target.shape[:2])
        for number, here, there in _pairs(len(target), past, future):
            scores[number, here] = (leaky_relu(target[here] + source[there], slope) * vector).sum(-1)
        return scores

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int, int, float], output: Tensor) -> None:
        *tensors, ctx.past, ctx.future, ctx.slope = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        target, source, vector = ctx.saved_tensors
        slopes = torch.zeros_like(target), torch.zeros_like(source), torch.zeros_like(vector)
        below = ctx.slope * vector
        for number, here, there in _pairs(len(target), ctx.past, ctx.future):
            own = gradient[number, here].unsqueeze(-1)  # (k, H, 1)
            total = target[here] + source[there]
            back = torch.where(total > 0, vector, below).mul_(own)
            slopes[0][here] += back
            slopes[1][there] += back
            slopes[2].add_(leaky_relu(total, ctx.slope, inplace=True).mul_(own).sum(0))
        return *slopes, None, None, None


def window_attention(layer: GATv2Conv, states: Tensor, dialogue: Tensor, past: int, future: int) -> Tensor:
    """What ``layer`` makes of ``states`` where i hears j of its dialogue for i - past <= j <= i + future, itself too.

    Heads are averaged. Shapes: states (V, F), dialogue (V,) the dialogue of each, in order -> (V, C).
    """
    heads, width = layer.heads, layer.out_channels
    source, target = (map_(states).view(-1, heads, width) for map_ in (layer.lin_l, layer.lin_r))
    vector = layer.att[0].to(source.dtype)  # (H, C)
    scores: Tensor = _Scores.apply(target, source, vector, past, future, layer.negative_slope)  # type: ignore[no-untyped-call]
    known = _neighbours(dialogue, past, future)  # (W, V)
    weights = scores.masked_fill(~known.unsqueeze(-1), torch.finfo(scores.dtype).min).softmax(0)  # (W, V, H)
    attended: Tensor = _summed(weights.permute(2, 1, 0), source.transpose(0, 1), past, future).mean(0) + layer.bias
    return attended


def _neighbours(dialogue: Tensor, past: int, future: int) -> Tensor:
    """Whether the utterance at an offset is one of the same dialogue. Shapes: (V,) -> (W, V) bool."""
    offset = torch.arange(-past, future + 1, device=dialogue.device).unsqueeze(1)
    place = torch.arange(len(dialogue), device=dialogue.device) + offset  # (W, V)
    inside = (place >= 0) & (place < len(dialogue))
    return inside & (dialogue[place.clamp(0, max(len(dialogue) - 1, 0))] == dialogue)


def _summed(weights: Tensor, values: Tensor, past: int, future: int) -> Tensor:
    """Each utterance's weighted sum over its window. Shapes: (H, V, W), (H, V, C) -> (H, V, C)."""
    heads, length, window = weights.shape
    blocks = -(-length // BLOCK)  # K
    end, span = blocks * BLOCK - length, BLOCK + window - 1  # a block reaches so many values
    reached = pad(values, (0, 0, past, future + end)).unfold(1, span, BLOCK).transpose(2, 3)  # (H, K, span, C)
    band = pad(weights, (0, span + 1 - window, 0, end)).view(heads, blocks, -1)  # each row is one late: it moves by one
    matrix = band[..., : BLOCK * span].view(heads, blocks, BLOCK, span)
    return (matrix @ reached).flatten(1, 2)[:, :length]
