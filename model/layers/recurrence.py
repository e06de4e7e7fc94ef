"""Recurrence over dialogues: packed, or by steps if the next input depends on more than the state before it.

For cells that are stepped, torch's own cell holds the parameters. Inputs that are known before the first step are
multiplied by their weights all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Steps:
    """A batch's real utterances by step: the first of every dialogue, then the second, ..., long dialogues first.

    Step i works on ``counts[i]`` dialogues: those that are not over, which are the first ones of the step before.
    Shapes: ``order`` (V,), for each utterance by step, its place among the packed ones; ``dialogues`` (B,), for each
    sorted dialogue, its row in the batch.
    """

    order: Tensor
    dialogues: Tensor
    counts: list[int]

    @classmethod
    def of(cls, lengths: Tensor, backward: bool = False) -> Steps:
        """The steps of dialogues of these lengths (B,), from the last utterance to the first if ``backward``."""
        dialogues = lengths.argsort(descending=True, stable=True)
        first, length = (lengths.cumsum(0) - lengths)[dialogues], lengths[dialogues]
        step = torch.arange(int(length[0]), device=lengths.device).unsqueeze(1)  # (N, 1)
        real = step < length  # (N, B)
        place = first + (length - 1 - step if backward else step)
        return cls(place[real], dialogues, real.sum(1).tolist())

    def slices(self) -> Iterator[slice]:
        """The slice of each step's utterances in ``order``."""
        end = 0
        for count in self.counts:
            yield slice(end, end + count)
            end += count

    def packed(self, by_step: Sequence[Tensor]) -> Tensor:
        """Every step's rows, brought into the order of the packed utterances. Shapes: (counts[i], D) each -> (V, D)."""
        joined = torch.cat(list(by_step))
        return joined.new_zeros(joined.shape).index_copy(0, self.order, joined)


class PartlyKnown:
    """A GRU cell whose input is [known; rest], the known part of all utterances being given beforehand.

    Shapes: ``known`` (V, F); a step takes ``rest`` (..., R) and ``state`` (..., D) of the n utterances ``rows``, where
    ``...`` is (n,), or (n, P), over which ``known`` broadcasts.
    """

    def __init__(self, cell: nn.GRUCell, known: Tensor) -> None:
        width = known.shape[-1]
        known_weight, self._rest = torch.split(cell.weight_ih, [width, cell.input_size - width], dim=1)
        self._known = linear(known, known_weight, cell.bias_ih)  # (V, 3D)
        self._cell = cell

    def step(self, rows: slice, rest: Tensor, state: Tensor) -> Tensor:
        """The new states."""
        known = self._known[rows]
        if state.dim() == 3:
            known = known.unsqueeze(1)
        hidden = linear(state, self._cell.weight_hh, self._cell.bias_hh)
        return gru(known + linear(rest, self._rest), hidden, state)


def over_dialogues(recurrent: nn.RNNBase, packed: Tensor, utterances: Utterances) -> Tensor:
    """A recurrent network over each dialogue within its length. Shapes: (V, D) -> (V, D')."""
    sequences = pack_padded_sequence(
        utterances.rows(packed), utterances.lengths.cpu(), batch_first=True, enforce_sorted=False
    )
    rows, _ = pad_packed_sequence(recurrent(sequences)[0], batch_first=True, total_length=utterances.mask.shape[1])
    return utterances.packed(rows)
