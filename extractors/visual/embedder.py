"""The DenseNet on its device: aligned faces in, features out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigfusion.extractors.compute import to_device
from bigfusion.extractors.visual.densenet import load

GPU_BATCHES = 32
"""A GPU takes so many of a processor's batches at once: on a processor larger ones are slower, not faster."""


class FaceEmbedder:
    """The DenseNet with a file's weights. Threads may share it, because nothing in it changes.

    Args:
        weights: safetensors.
        device: a processor or a GPU.
        batch_size: faces embedded at once on a processor; on a GPU :data:`GPU_BATCHES` times as many.

    Raises:
        ExtractionError: the weights cannot be loaded.
    """

    def __init__(self, weights: Path, device: torch.device, batch_size: int) -> None:
        self._device = device
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # so that a GPU does not round where a CPU does not
        network: Any = load(weights)
        self._network = network.to(device, memory_format=torch.channels_last)
        self._batch_size = batch_size * (GPU_BATCHES if device.type == "cuda" else 1)

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed faces. Shapes: faces (T, 64, 64) uint8 -> (T, 342) float32. A batch never mixes clips, whatever the
        chunk.

        A GPU receives bytes, not floats, while other threads decode.
        """
        features = []
        with torch.inference_mode():
            for batch in torch.split(to_device(faces, self._device), self._batch_size):
                pixels = batch.unsqueeze(1).float() / 255  # (B, 1, 64, 64)
                features.append(self._network.embed(pixels.contiguous(memory_format=torch.channels_last)))
            return np.asarray(torch.cat(features).cpu().numpy(), dtype=np.float32)
