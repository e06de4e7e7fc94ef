"""A dialogue's graph with one node for each modality of each utterance, and deep graph convolution on it (GCNII).

Shapes: M modalities, V real utterances of a batch, N in its rows, D channels; nodes (V, M, D), packed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bigfusion.model.data.utterances import to_rows

NEARLY_ONE = 0.99999
"""The factor of the cosine. Without it the gradient of arccos would be infinite at 1."""


@dataclass(frozen=True)
class ModalGraph:
    """Symmetrically normalised weights of the edges, zeros where padded.

    All nodes of one modality are joined with each other and themselves, ``within`` (B, M, N, N), and the nodes of one
    utterance with each other, ``across`` (V, M, M), zeros from a modality to itself. No other edge exists.
    ``places`` (V,) are the real utterances' in the B N rows: a deep stack fills and reads rows in each layer, which an
    index does several times as fast as a mask.
    """

    within: Tensor
    across: Tensor
    places: Tensor

    def propagate(self, nodes: Tensor) -> Tensor:
        """Each node's weighted sum over its neighbours. Shapes: (V, M, D) -> (V, M, D)."""
        batch, modalities, length, _ = self.within.shape
        rows = nodes.new_zeros(batch * length, *nodes.shape[1:]).index_copy(0, self.places, nodes)
        rows = rows.view(batch, length, modalities, -1).transpose(1, 2)  # (B, M, N, D)
        near = torch.matmul(self.within, rows).transpose(1, 2).flatten(0, 1)  # (B N, M, D)
        return near.index_select(0, self.places) + torch.bmm(self.across, nodes)


def modal_graph(nodes: Tensor, mask: Tensor) -> ModalGraph:
    """D^-1/2 A D^-1/2 with A = 1 - arccos(0.99999 cos(x_i, x_j)) / pi, differentiable in the nodes.

    Shapes: (V, M, D), (B, N) bool.
    """
    return normalised(*angular_weights(nodes, mask), mask)


def normalised(within: Tensor, across: Tensor, mask: Tensor) -> ModalGraph:
    """D^-1/2 A D^-1/2, D being A's row sums. Shapes: (B, M, N, N), (V, M, M), (B, N) bool."""
    degree = within.sum(-1) + to_rows(across.sum(2), mask).transpose(1, 2)  # (B, M, N)
    scale = torch.where(degree > 0, degree, 1).rsqrt()
    own = scale.transpose(1, 2)[mask]  # (V, M)
    within = within * scale.unsqueeze(3) * scale.unsqueeze(2)
    across = across * own.unsqueeze(2) * own.unsqueeze(1)
    return ModalGraph(within, across, mask.flatten().nonzero().flatten())


def angular_weights(nodes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A, not normalised: within modalities and across. Shapes: -> (B, M, N, N), (V, M, M)."""
    unit = _directions(nodes)
    rows = to_rows(unit, mask).transpose(1, 2)  # (B, M, N, D)
    within = _angular(torch.matmul(rows, rows.transpose(2, 3)))
    across = _angular(torch.bmm(unit, unit.transpose(1, 2)))
    real = mask.unsqueeze(1)  # (B, 1, N)
    others = ~torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
    return within * (real.unsqueeze(2) & real.unsqueeze(3)), across * others


def _angular(cosine: Tensor) -> Tensor:
    # rounding, above all in half precision, can give a cosine above 1
    cosine = cosine.to(torch.promote_types(cosine.dtype, torch.float32)).clamp(-1, 1)
    return 1 - torch.arccos(NEARLY_ONE * cosine) / math.pi


def _directions(nodes: Tensor) -> Tensor:
    """Scale vectors to length 1. A zero vector stays zero, is at a right angle to all others, and gets no gradient."""
    square = nodes.square().sum(-1, keepdim=True)
    has = square > torch.finfo(square.dtype).tiny
    return torch.where(has, nodes * torch.where(has, square, 1).rsqrt(), 0)


class GCN2Stack(nn.Module):
    """GCNII (Chen et al., ICML 2020) in its variant form, with an LSTM gate over depth if ``gate``.

    H_l = ReLU(theta_l [A G_l; H_0] W_l + (1 - theta_l) ((1 - alpha) A G_l + alpha H_0)), theta_l = ln(lambda / l + 1),
    W_l (2D, D) without bias. Plain, G_l is H_{l-1}. Gated, G_l is what an LSTM cell with one step for each layer makes
    of H_{l-1}, and H_{l-1} is added to H_l. Dropout falls on H_0 as the first layer's input and on each layer's output.

    torch_geometric's GCN2Conv multiplies the two halves of W_l by (1 - alpha) and alpha, which gives each another step
    size. It also gathers a vector for each of the 3 n^2 edges. Products of dense blocks are faster.

    Shapes: (V, M, D) -> (V, M, D).
    """

    def __init__(self, width: int, layers: int, alpha: float, decay: float, dropout: float, gate: bool = False) -> None:
        super().__init__()
        self.alpha, self.decay = alpha, decay
        bound = 1 / math.sqrt(width)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.empty(2 * width, width).uniform_(-bound, bound)) for _ in range(layers)
        )
        self.gate = nn.LSTMCell(width, width) if gate else None
        self.dropout = nn.Dropout(dropout)

    def theta(self, layer: int) -> float:
        """theta_l of layer ``layer`` (from 1): how strongly the layer is transformed."""
        return math.log(self.decay / layer + 1)

    def forward(self, start: Tensor, graph: ModalGraph) -> Tensor:
        """The last layer's output from H_0."""
        return self.layers(start, graph)[-1]

    def layers(self, start: Tensor, graph: ModalGraph) -> Sequence[Tensor]:
        """Every layer's output."""
        hidden, found = self.dropout(start), []
        flat = start.reshape(-1, start.shape[-1])
        state = (torch.zeros_like(flat), torch.zeros_like(flat))
        for number, weight in enumerate(self.weights, start=1):
            read = hidden
            if self.gate is not None:
                state = self.gate(hidden.reshape(flat.shape), state)
                read = state[0].view(start.shape)
            near, theta = graph.propagate(read), self.theta(number)
            mixed = (1 - self.alpha) * near + self.alpha * start
            output = theta * (torch.cat([near, start], dim=-1) @ weight) + (1 - theta) * mixed
            output = self.dropout(output.relu())
            hidden = output if self.gate is None else output + hidden
            found.append(hidden)
        return found
