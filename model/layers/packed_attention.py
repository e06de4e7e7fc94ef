"""``nn.MultiheadAttention`` over packed utterances: only attention itself works on padded rows, not its linear maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.window import unseen


def attend(attention: nn.MultiheadAttention, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """Each utterance of ``query`` attends to its dialogue's of ``key``. Shapes: (V, D) twice, (B, N) bool -> (V, D)."""
    maps = zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    asked, asking, told = (
        torch.unflatten(to_rows(linear(rows, weight, bias), mask), 2, (attention.num_heads, -1)).transpose(1, 2)
        for rows, (weight, bias) in zip((query, key, key), maps, strict=True)
    )  # (B, heads, N, d)
    attended = scaled_dot_product_attention(
        asked,
        asking,
        told,
        attn_mask=~unseen(mask)[:, None, None, :],
        dropout_p=attention.dropout if attention.training else 0.0,
    )
    output: Tensor = attention.out_proj(attended.transpose(1, 2)[mask].flatten(1))
    return output
