"""torch's own Transformer encoder over the packed utterances of each dialogue. Padding gets no attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.window import unseen


class ContextEncoder(nn.Module):
    """``nn.TransformerEncoder``: post-norm, ReLU, no positions. Shapes: (V, D), (B, N) bool -> (V, D).

    Its layers are run here: only attention itself works on padded rows. In a batch of 32 real dialogues more than half
    of the rows are padding, and these networks are as wide as their features.
    """

    def __init__(self, width: int, *, heads: int, layers: int, inner: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, inner, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, packed: Tensor, mask: Tensor) -> Tensor:
        """Contextualise the real utterances of each dialogue."""
        for layer in self.encoder.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            packed = layer.norm1(packed + layer.dropout1(self_attention(layer.self_attn, packed, mask)))
            hidden = layer.dropout(layer.linear1(packed).relu())
            packed = layer.norm2(packed + layer.dropout2(layer.linear2(hidden)))
        return packed


def self_attention(attention: nn.MultiheadAttention, packed: Tensor, mask: Tensor) -> Tensor:
    """Each utterance attends to those of its dialogue. Shapes: (V, D), (B, N) bool -> (V, D)."""
    rows = to_rows(linear(packed, attention.in_proj_weight, attention.in_proj_bias), mask)  # (B, N, 3D)
    query, key, value = (
        torch.unflatten(part, 2, (attention.num_heads, -1)).transpose(1, 2) for part in rows.chunk(3, dim=-1)
    )  # (B, heads, N, d)
    attended = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=~unseen(mask)[:, None, None, :],
        dropout_p=attention.dropout if attention.training else 0.0,
    )
    output: Tensor = attention.out_proj(attended.transpose(1, 2)[mask].flatten(1))
    return output


def dividing_heads(width: int) -> int:
    """COGMEN's number of heads: the smallest of 7 to 14 that divides the width.

    If none of these divides it, the largest number below 7 that does. The released code has no answer for this case.
    """
    above = (heads for heads in range(7, 15) if width % heads == 0)
    return next(above, max(heads for heads in range(1, 7) if width % heads == 0))
