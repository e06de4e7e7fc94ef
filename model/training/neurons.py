"""Neurons that tell the network nothing: those that never fire, and those that fire at every time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.layers.spiking import RateCoding
from bigfusion.model.runs.folder import Neurons


@torch.no_grad()
def examine(network: nn.Module, dialogues: Sequence[Dialogue], device: torch.device) -> dict[str, Neurons]:
    """The spiking neurons of each layer (``layer1.query``, ...) over all utterances; empty if nothing spikes.

    Dialogues are read one by one: none is padded, so that every rate that is seen is an utterance's.
    """
    lowest: list[Tensor] = []
    highest: list[Tensor] = []
    call = 0

    def see(module: nn.Module, current: tuple[Any, ...], rates: Tensor) -> None:
        nonlocal call
        rows = rates.detach().flatten(0, -2)  # (N, 3 D)
        if call == len(lowest):
            lowest.append(rows.amin(0))
            highest.append(rows.amax(0))
        else:
            lowest[call] = torch.minimum(lowest[call], rows.amin(0))
            highest[call] = torch.maximum(highest[call], rows.amax(0))
        call += 1  # the layers code their currents in turn

    was_training = network.training
    network.eval()
    neurons = {module for module in network.modules() if isinstance(module, RateCoding)}
    hooks = [module.register_forward_hook(see) for module in neurons]
    try:
        for dialogue in dialogues:
            call = 0
            network(collate([dialogue]).to(device))
    finally:
        for hook in hooks:
            hook.remove()
        network.train(was_training)
    found = {}
    for number, (low, high) in enumerate(zip(lowest, highest, strict=True), start=1):
        for name, least, most in zip(("query", "key", "value"), low.chunk(3), high.chunk(3), strict=True):
            dead, saturated = int((most <= 0).sum()), int((least >= 1).sum())
            found[f"layer{number}.{name}"] = Neurons(count=len(most), dead=dead, saturated=saturated)
    return found
