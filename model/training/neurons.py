"""Neurons that tell the network nothing: those that never fire, and those that fire at every time step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.networks.base import Network
from bigfusion.model.runs.folder import Neurons


@torch.no_grad()
def examine(network: Network, dialogues: Sequence[Dialogue], device: torch.device) -> dict[str, Neurons]:
    """The spiking neurons of each layer that the network tells the rates of, over all utterances; empty without any.

    Dialogues are read one by one: none is padded, so that every rate that is seen is an utterance's.
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
