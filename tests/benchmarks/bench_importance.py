"""Dual node importance: exact local changes against n whole graphs, and one dialogue of 10,000 nodes.

Run from the project's root: python -m tests.benchmarks.bench_importance [threads]
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from bigfusion.model.contrast.importance import dual_importance, min_max
from bigfusion.model.contrast.information import gaussian_information
from bigfusion.model.layers.graph import Graph, Relations, build_graph
from bigfusion.model.layers.rgcn import RelationalEncoder

WIDTH, WINDOW, GAMMA, NOISE = 128, 6, 0.3, 1.0


def one_dialogue(size: int) -> tuple[Graph, torch.Tensor]:
    """The graph of one dialogue of two speakers, and its nodes."""
    mask = torch.ones(1, size, dtype=torch.bool)
    return build_graph(mask, torch.randint(0, 2, (1, size)), WINDOW, Relations()), torch.randn(size, WIDTH)


@torch.no_grad()
def slow_importance(nodes: torch.Tensor, graph: Graph, encoder: RelationalEncoder) -> torch.Tensor:
    """n whole graphs and n whole sub-graphs, each built and encoded once as it is and once perturbed."""
    noise = NOISE * torch.randn(1, WIDTH)[0]

    def survives(part: Graph, inputs: torch.Tensor, original: torch.Tensor, changed: int) -> torch.Tensor:
        perturbed = inputs.clone()
        perturbed[changed] += noise
        mean = encoder(perturbed, part).double().mean(0, keepdim=True)
        return gaussian_information(mean, original)

    whole, own = [], []
    original = encoder(nodes, graph).double().mean(0, keepdim=True)
    for node in range(len(nodes)):
        whole.append(survives(graph, nodes, original, node))
        low = max(0, node - WINDOW)
        around = slice(low, node + WINDOW + 1)
        speaker = graph.speaker[around].unsqueeze(0)
        part = build_graph(torch.ones_like(speaker, dtype=torch.bool), speaker, WINDOW, graph.relations)
        own_original = encoder(nodes[around], part).double().mean(0, keepdim=True)
        own.append(survives(part, nodes[around], own_original, node - low))
    return GAMMA * min_max(-torch.cat(whole), graph) + (1 - GAMMA) * min_max(-torch.cat(own), graph)


def seeded(run: Callable[[], torch.Tensor]) -> torch.Tensor:
    """A call's result, the noise being the same every time."""
    torch.manual_seed(1)
    return run()


def seconds(run: Callable[[], object], repeats: int) -> float:
    """The fastest of some calls, after one that warms up: on a busy machine the others measure its business."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"D {WIDTH}, window {WINDOW}, {torch.get_num_threads()} thread(s); best times")
    print(f"{'layers':>6} {'nodes':>6} {'fast':>11} {'slow':>11} {'ratio':>7} {'difference':>11}")
    for layers in (1, 2):
        torch.manual_seed(0)
        encoder = RelationalEncoder(WIDTH, 4, layers)
        for size in (24, 110):
            graph, nodes = one_dialogue(size)
            fast = partial(dual_importance, nodes, graph, encoder, gamma=GAMMA, noise=NOISE)
            slow = partial(slow_importance, nodes, graph, encoder)
            difference = (seeded(fast) - seeded(slow)).abs().max().item()
            quick, whole = seconds(fast, 21), seconds(slow, 5)
            times = f"{quick * 1e3:8.2f} ms {whole * 1e3:8.1f} ms {whole / quick:6.0f}x {difference:11.1e}"
            print(f"{layers:>6} {size:>6} {times}")
        for size in (1_000, 10_000):
            graph, nodes = one_dialogue(size)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            quick = seconds(partial(dual_importance, nodes, graph, encoder, gamma=GAMMA, noise=NOISE), 3)
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(f"{layers:>6} {size:>6} {quick * 1e3:8.0f} ms   peak memory grew by {grown:.0f} MiB")


if __name__ == "__main__":
    main()
