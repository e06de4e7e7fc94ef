"""The state of a training between two epochs, in one file. From it the training continues bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from bigfusion.model.runs.folder import Epoch
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.seed import random_states, restore_random_states
from bigfusion.model.training.early_stopping import TrainingHistory
from bigfusion.pipeline.errors import TrainingError

STATE = "resume.safetensors"


def save_state(
    folder: Path,
    run: str,
    progress: TrainingHistory,
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
) -> None:
    """Write everything that the next epoch depends on. ``run`` is the digest of data, settings and seed."""
    generators, others = random_states()
    tensors = {"test_classes": progress.test_classes}
    for part, network in networks.items():
        tensors |= {f"{part}/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"random/{name}": tensor for name, tensor in generators.items()}
    for part, optimizer in optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{part}/{index}/{slot}": tensor for slot, tensor in slots.items()}
    history = [epoch.model_dump(mode="json") for epoch in progress.history]
    write_tensors(folder / STATE, tensors, {"run": run, "history": history, "random": others})


def restore_state(
    folder: Path, run: str, networks: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> TrainingHistory:
    """Restore the networks, the optimizers and all random generators from the file.

    Raises:
        TrainingError: the file is damaged, or belongs to a run with other settings or other data.
    """
    tensors, facts, _ = read_tensors(folder / STATE)
    if facts["run"] != run:
        raise TrainingError(
            f"{folder}: holds a started run with other settings, data or labels; train into another folder or delete it"
        )
    try:
        for part, network in networks.items():
            network.load_state_dict(_under(part, tensors))
    except RuntimeError:
        raise TrainingError(
            f"{folder / STATE}: was written by another version of the network; delete the folder and train again"
        ) from None
    for part, optimizer in optimizers.items():
        state = copy.deepcopy(optimizer.state_dict())
        for name, tensor in _under(f"optimizer/{part}", tensors).items():
            index, slot = name.split("/")
            state["state"].setdefault(int(index), {})[slot] = tensor
        optimizer.load_state_dict(state)
    restore_random_states(_under("random", tensors), facts["random"])
    return TrainingHistory(tuple(Epoch.model_validate(epoch) for epoch in facts["history"]), tensors["test_classes"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}
