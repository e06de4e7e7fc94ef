"""torch's own Transformer encoder over the packed utterances of each dialogue. Padding gets no attention."""

from __future__ import annotations

from torch import Tensor, nn

from bigfusion.model.layers.packed_attention import attend


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
            packed = layer.norm1(packed + layer.dropout1(attend(layer.self_attn, packed, packed, mask)))
            hidden = layer.dropout(layer.linear1(packed).relu())
            packed = layer.norm2(packed + layer.dropout2(layer.linear2(hidden)))
        return packed


def dividing_heads(width: int) -> int:
    """COGMEN's number of heads: the smallest of 7 to 14 that divides the width.

    If none of these divides it, the largest number below 7 that does. The released code has no answer for this case.
    """
    above = (heads for heads in range(7, 15) if width % heads == 0)
    return next(above, max(heads for heads in range(1, 7) if width % heads == 0))
