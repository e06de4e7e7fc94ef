"""Neurons that carry no information: those that never fire, and those that fire at every time step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.networks.base import Network
from bigfusion.model.runs.folder import Neurons


@torch.no_grad()
def examine(network: Network, dialogues: Sequence[Dialogue], device: torch.device) -> dict[str, Neurons]:
    """Count such neurons in each spiking layer, over all utterances. Empty if the network reports no firing rates.

    Dialogues are read one by one and need no padding, so that every rate belongs to a real utterance.
    """
    lowest: dict[str, Tensor] = {}
    highest: dict[str, Tensor] = {}
    was_training = network.training
    network.eval()
    for dialogue in dialogues:
        for name, rates in network(collate([dialogue]).to(device)).rates.items():  # (N, D)
            low, high = rates.amin(0), rates.amax(0)
            lowest[name] = torch.minimum(lowest.get(name, low), low)
            highest[name] = torch.maximum(highest.get(name, high), high)
    network.train(was_training)
    return {
        name: Neurons(count=len(low), dead=int((highest[name] <= 0).sum()), saturated=int((low >= 1).sum()))
        for name, low in lowest.items()
    }
