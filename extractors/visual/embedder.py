"""The DenseNet on its device: aligned faces in, features out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigfusion.extractors.compute import to_device
from bigfusion.extractors.visual.densenet import load
from bigfusion.extractors.visual.densenet_graph import graph
from bigfusion.extractors.visual.onnx_session import session

BATCH = 4
"""Faces that a processor embeds at once: the maps of many more do not fit into a core's cache."""

GPU_BATCHES = 32
"""A GPU embeds so many times ``batch_size`` faces at once."""


class FaceEmbedder:
    """The DenseNet with a file's weights: ONNX Runtime on a processor, PyTorch on a GPU. Threads may share it.

    Args:
        weights: safetensors.
        device: a processor or a GPU.
        batch_size: a GPU embeds :data:`GPU_BATCHES` times as many faces at once.

    Raises:
        ExtractionError: the weights cannot be loaded.
    """

    def __init__(self, weights: Path, device: torch.device, batch_size: int) -> None:
        self._device = device
        network: Any = load(weights)
        if device.type == "cpu":
            self._session = session(graph(network))
            return
        torch.backends.cudnn.allow_tf32 = False  # so that a GPU does not round where a CPU does not
        self._network = network.to(device, memory_format=torch.channels_last)
        self._batch_size = batch_size * GPU_BATCHES

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed faces. Shapes: faces (T, 64, 64) uint8 -> (T, 342) float32. A batch never mixes clips, whatever the
        chunk.

        A GPU receives bytes, not floats, while other threads decode.
        """
        if self._device.type == "cpu":
            grey = faces[:, None].astype(np.float32) / 255  # (T, 1, 64, 64)
            batches = [grey[first : first + BATCH] for first in range(0, len(grey), BATCH)]
            return np.concatenate([self._session.run(None, {"faces": batch})[0] for batch in batches])
        features = []
        with torch.inference_mode():
            for batch in torch.split(to_device(faces, self._device), self._batch_size):
                pixels = batch.unsqueeze(1).float() / 255  # (B, 1, 64, 64)
                features.append(self._network.embed(pixels.contiguous(memory_format=torch.channels_last)))
            return np.asarray(torch.cat(features).cpu().numpy(), dtype=np.float32)
