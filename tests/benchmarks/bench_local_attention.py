"""Time of local attention (Eq. 5) against the number of utterances: linear; the global one (Eq. 4) beside it.

Run from the project's root: python -m tests.benchmarks.bench_local_attention [threads]
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from bigfusion.model.layers.attention import global_attention, local_attention

WIDTH, HEADS, WINDOW = 128, 4, 5
BATCHES = (1, 16)
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)


def milliseconds(attention: Callable[..., torch.Tensor], size: int, batch: int) -> float:
    """The fastest of some forward and backward passes over a batch: the others measure a busy machine."""
    heads = torch.randn(3, batch, HEADS, size, WIDTH // HEADS, requires_grad=True)
    mask = torch.ones(batch, size, dtype=torch.bool)

    def step() -> None:
        attention(*heads.unbind(), mask).sum().backward()

    step()
    times = []
    for _ in range(9):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def main() -> None:
    """Print the table, and the exponent of N between its last rows."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"D {WIDTH}, {HEADS} heads, window {WINDOW}, {torch.get_num_threads()} thread(s); forward + backward")
    local = partial(local_attention, fusion=torch.full((WINDOW,), 1 / WINDOW))
    for batch in BATCHES:
        print(f"{batch} dialogue(s)\n{'utterances':>10} {'local':>11} {'each':>11} {'global':>11}")
        times = []
        for size in SIZES[: 7 if batch == 1 else 4]:
            near, far = milliseconds(local, size, batch), milliseconds(global_attention, size, batch)
            times.append((near, far))
            print(f"{size:>10} {near:8.2f} ms {near / size * 1e3:8.2f} us {far:8.2f} ms")
    growth = [math.log2(last / first) / (len(times) - 1) for first, last in zip(times[0], times[-1], strict=True)]
    print(f"{SIZES[0]} to {SIZES[len(times) - 1]}: local grows with N^{growth[0]:.2f}, global with N^{growth[1]:.2f}")


if __name__ == "__main__":
    main()
