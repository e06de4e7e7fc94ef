"""Who hears whom within a window, from the receiver's side: utterance i hears j for i - past <= j <= i + future.

In a row the utterances of the dialogue come first, then the padding.
"""

from __future__ import annotations

import torch
from torch import Tensor


def heard(mask: Tensor, past: int, future: int) -> Tensor:
    """Whether i hears j, itself included; padding neither hears nor is heard. Shapes: (B, N) -> [b, i, j] (B, N, N)."""
    place = torch.arange(mask.shape[1], device=mask.device)
    distance = place - place.unsqueeze(1)  # [i, j]: j - i
    near = (distance >= -past) & (distance <= future)
    return near & mask.unsqueeze(1) & mask.unsqueeze(2)


def edges(hears: Tensor, mask: Tensor) -> Tensor:
    """``hears`` as edges between the packed real utterances. Shapes: (B, N, N), (B, N) -> (2, E): j, then i."""
    number = (mask.flatten().cumsum(0) - 1).view_as(mask)  # (B, N): the utterance's row when packed
    dialogue, target, source = hears.nonzero().unbind(1)
    return torch.stack([number[dialogue, source], number[dialogue, target]])


def unseen(mask: Tensor) -> Tensor:
    """Keys that attention leaves out: padding. A row of padding alone keeps its keys, or its softmax would be NaN."""
    return ~mask & mask.any(1, keepdim=True)
