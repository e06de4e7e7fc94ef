"""SDT's Transformer layer: the utterances of one sequence attend to those of another, in the same dialogue."""

from __future__ import annotations

from torch import Tensor, nn

from bigfusion.model.layers.packed_attention import attend


class CrossTransformer(nn.Module):
    """y = q + drop Att(q <- k), then y + drop W2 drop gelu(W1 LN(y)); there is no norm before attention.

    Shapes: query, key (V, D), packed; mask (B, N) bool -> (V, D).
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
        """Let each utterance of ``query`` attend to its dialogue's of ``key``."""
        hidden = query + self.dropout(attend(self.attention, query, key, mask))
        output: Tensor = hidden + self.dropout(self.feed_forward(hidden))
        return output
