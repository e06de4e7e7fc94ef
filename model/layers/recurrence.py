"""Recurrence over dialogues: packed, and by steps where the next input depends on more than the state before it.

Of cells that are stepped, torch's own holds the parameters; what is known of its inputs before the first step is
multiplied at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigfusion.model.data.utterances import Utterances


def gru(inputs: Tensor, hidden: Tensor, state: Tensor) -> Tensor:
    """The new state of a GRU cell from its two linear maps' outputs. Shapes: (..., 3D), (..., 3D), (..., D)."""
    reset_in, update_in, new_in = inputs.chunk(3, dim=-1)
    reset_state, update_state, new_state = hidden.chunk(3, dim=-1)
    reset = torch.sigmoid(reset_in + reset_state)
    update = torch.sigmoid(update_in + update_state)
    candidate = torch.tanh(new_in + reset * new_state)
    return candidate + update * (state - candidate)


class PartlyKnown:
    """A GRU cell whose input is [known; rest], the known part of all N steps being given beforehand.

    Shapes: ``known`` (B, N, F); a step takes ``rest`` (..., R) and ``state`` (..., D), and ``known`` broadcasts where
    ``...`` is (B, P).
    """

    def __init__(self, cell: nn.GRUCell, known: Tensor) -> None:
        width = known.shape[-1]
        known_weight, self._rest = torch.split(cell.weight_ih, [width, cell.input_size - width], dim=1)
        self._known = linear(known, known_weight, cell.bias_ih)  # (B, N, 3D)
        self._cell = cell

    def step(self, index: int, rest: Tensor, state: Tensor) -> Tensor:
        """The state after step ``index``."""
        known = self._known[:, index]
        if state.dim() == 3:
            known = known.unsqueeze(1)
        hidden = linear(state, self._cell.weight_hh, self._cell.bias_hh)
        return gru(known + linear(rest, self._rest), hidden, state)


def reversal(lengths: Tensor, length: int) -> Tensor:
    """Indices that turn each dialogue round within its true length and leave padding where it is. Shape: (B, N)."""
    place = torch.arange(length, device=lengths.device)
    turned = lengths.unsqueeze(1) - 1 - place
    return torch.where(turned >= 0, turned, place)


def over_dialogues(recurrent: nn.RNNBase, packed: Tensor, utterances: Utterances) -> Tensor:
    """A recurrent network over each dialogue within its length. Shapes: (V, D) -> (V, D')."""
    sequences = pack_padded_sequence(
        utterances.rows(packed), utterances.lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    rows, _ = pad_packed_sequence(recurrent(sequences)[0], batch_first=True, total_length=utterances.mask.shape[1])
    return utterances.packed(rows)
