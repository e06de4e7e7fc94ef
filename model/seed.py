"""The seeding function, the random states from which a resumed run continues, and deterministic arithmetic."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (every device)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from the global generator)
    torch.manual_seed(seed)


def random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of every generator that :func:`seed_everything` seeds: torch's as tensors, the others' as JSON."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return tensors, {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), *rest]}


def restore_random_states(tensors: dict[str, Tensor], others: dict[str, Any]) -> None:
    """Set every generator back to the state that :func:`random_states` returned."""
    version, internal, gauss = others["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = others["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(tensors["torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if (state := tensors.get(f"cuda.{index}")) is not None:
            torch.cuda.set_rng_state(state, index)


@contextmanager
def deterministic(threads: int | None = None) -> Iterator[None]:
    """In this block torch uses the deterministic form of every operation that has one, on ``threads`` CPU threads.

    A few operations on CUDA have no such form: they run with a warning. The caller's flags are restored at the end.
    """
    on, warning = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    before = torch.get_num_threads()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, at its first call
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(on, warn_only=warning)
        torch.set_num_threads(before)
