"""Class scores of whole dialogues. Validation during training and the evaluator share this code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.pipeline.errors import TrainingError


def choose_device(name: str) -> torch.device:
    """The device of this name. ``auto`` is the first CUDA device, or the CPU if there is none.

    Raises:
        TrainingError: this is no device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainingError(f"device {name!r}: expected auto, cpu, cuda or cuda:N; correct train.device") from None
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= count):
        raise TrainingError(f"device {name}: expected cpu or one of {count} CUDA devices; set train.device = 'auto'")
    return device


@torch.no_grad()
def predict(network: nn.Module, dialogues: Sequence[Dialogue], device: torch.device, batch_size: int) -> Tensor:
    """Logits of every utterance, dialogue after dialogue, in float32 whatever the precision of training was.

    Dialogues of similar length share a batch, so that little is padded. The results do not depend on padding.
    Shape: (U, C), on the CPU.
    """
    was_training = network.training
    network.eval()
    order = sorted(range(len(dialogues)), key=lambda index: len(dialogues[index]))
    logits: dict[int, Tensor] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        output = network(collate([dialogues[index] for index in chosen]).to(device))
        scores = output.logits.float().cpu()  # (B, N, C)
        logits |= {index: scores[row, : len(dialogues[index])] for row, index in enumerate(chosen)}
    network.train(was_training)
    return torch.cat([logits[index] for index in range(len(dialogues))])
