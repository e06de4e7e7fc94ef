"""torch's own recurrent layers over the packed utterances of each dialogue, padding left out in both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bigfusion.model.data.utterances import to_rows


def over_time(recurrence: nn.RNNBase, packed: Tensor, mask: Tensor) -> Tensor:
    """Run a batch-first layer over each dialogue. Shapes: (V, F), (B, N) bool -> (V, D)."""
    rows = pack_padded_sequence(to_rows(packed, mask), mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
    hidden, _ = pad_packed_sequence(recurrence(rows)[0], batch_first=True, total_length=mask.shape[1])
    return hidden[mask]


def over_speakers(recurrence: nn.RNNBase, packed: Tensor, group: Tensor) -> Tensor:
    """Run a batch-first layer over each group's own utterances, in order. Shapes: (V, F), (V,) int -> (V, D)."""
    order = group.argsort(stable=True)  # group after group, in time
    sizes = group.bincount()
    sizes = sizes[sizes > 0]  # (G,)
    mask = torch.arange(int(sizes.max()), device=group.device) < sizes.unsqueeze(1)  # (G, L)
    return over_time(recurrence, packed[order], mask)[order.argsort()]
