"""The Transformer over a dialogue's utterances: pre-norm layers around dual attention, sinusoidal positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigfusion.model.layers.attention import Attended, DualAttention
from bigfusion.model.layers.spiking import RateCoding


def positions(length: int, width: int, *, like: Tensor) -> Tensor:
    """Sinusoidal positions (Vaswani et al. 2017): sines in even channels, cosines in odd ones. Shape: (N, D)."""
    place = torch.arange(length, device=like.device, dtype=torch.float32).unsqueeze(1)  # (N, 1)
    channel = torch.arange(width, device=like.device)
    angle = place * 10_000.0 ** (-(channel - channel % 2) / width)  # (N, D)
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(like.dtype)


class EncoderLayer(nn.Module):
    """A pre-norm Transformer layer around :class:`DualAttention`: x + A(norm x), then x + FFN(norm x).

    Shapes: inputs (V, D), the real utterances packed; mask (B, N) bool -> output (V, D).
    """

    def __init__(self, attention: DualAttention, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, mask: Tensor) -> Attended:
        """Contextualise the real utterances of each dialogue."""
        attended = self.attention(self.attention_norm(inputs), mask)
        hidden = inputs + self.dropout(attended.output)
        return Attended(hidden + self.dropout(self.feed_forward(hidden)), attended.firing)


@dataclass(frozen=True)
class Encoded:
    """Shapes: ``output`` (V, D); ``rates`` firing rates without gradient (``layer1.query``: (V, D))."""

    output: Tensor
    rates: dict[str, Tensor]


class DualTransformer(nn.Module):
    """Layers of dual attention over utterances with sinusoidal positions, and a last norm.

    Shapes: inputs (V, D), the real utterances packed, dialogue after dialogue; mask (B, N) bool -> output (V, D).
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        heads: int,
        dropout: float,
        alpha: float,
        window: int,
        spiking: RateCoding | None,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(DualAttention(width, heads, alpha, window, spiking), width, dropout) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        """Contextualise the real utterances of each dialogue."""
        places = mask.nonzero()[:, 1]  # (V,)
        hidden = self.dropout(inputs + positions(mask.shape[1], inputs.shape[1], like=inputs)[places])
        rates: dict[str, Tensor] = {}
        for number, layer in enumerate(self.layers, start=1):
            attended: Attended = layer(hidden, mask)
            hidden = attended.output
            rates |= {f"layer{number}.{name}": rate for name, rate in attended.firing.items()}
        return Encoded(self.norm(hidden), rates)
