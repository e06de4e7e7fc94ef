"""torch's own Transformer encoder over the packed utterances of each dialogue. Padding gets no attention."""

from __future__ import annotations

from torch import Tensor, nn

from bigfusion.model.data.utterances import to_rows
from bigfusion.model.layers.window import unseen


class ContextEncoder(nn.Module):
    """``nn.TransformerEncoder``: post-norm, ReLU, no positions. Shapes: (V, D), (B, N) bool -> (V, D)."""

    def __init__(self, width: int, *, heads: int, layers: int, inner: int, dropout: float) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, inner, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, packed: Tensor, mask: Tensor) -> Tensor:
        """Contextualise the real utterances of each dialogue."""
        rows: Tensor = self.encoder(to_rows(packed, mask), src_key_padding_mask=unseen(mask))
        return rows[mask]


def dividing_heads(width: int) -> int:
    """COGMEN's number of heads: the smallest of 7 to 14 that divides the width.

    If none of these divides it, the largest number below 7 that does. The released code has no answer for this case.
    """
    above = (heads for heads in range(7, 15) if width % heads == 0)
    return next(above, max(heads for heads in range(1, 7) if width % heads == 0))
