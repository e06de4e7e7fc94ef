"""A whole training step against the field's way, and an epoch on IEMOCAP-sized data.

The plain form is the same network on the same numbers, in the loops that public code of this field is written in: one
dialogue at a time, a softmax for each window, edges in Python, a whole graph for every perturbed node, the contrast
node by node. Both give the same loss, which is printed.

Run from the project's root: python -m tests.benchmarks.bench_training [threads] [--compile]
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from bigfusion.model.data.batch import Dialogue, collate
from bigfusion.model.layers.graph import Graph, Relations
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.settings import TrainSettings
from bigfusion.model.training.optimise import Optimisation
from tests.benchmarks.bench_importance import slow_importance

WIDTHS, CLASSES, BATCH = {"text": 768, "audio": 7}, 6, 8


def corpus(dialogues: int = 108) -> list[Dialogue]:
    """Dialogues as long as IEMOCAP's (mean 48, 8 to 110), of two speakers."""
    random = np.random.default_rng(0)
    found = []
    for number in range(dialogues):
        length = int(np.clip(random.normal(48, 16), 8, 110))
        features = {name: random.normal(size=(length, width)).astype(np.float32) for name, width in WIDTHS.items()}
        present = {name: np.ones(length, dtype=bool) for name in WIDTHS}
        labels = random.integers(0, CLASSES, length)
        turns = tuple(f"{number}_{turn}" for turn in range(length))
        found.append(Dialogue(str(number), turns, features, present, random.integers(0, 2, length), labels))
    return found


def plain_local_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, fusion: Tensor) -> Tensor:
    """A softmax for each window of each dialogue."""
    window, scale = len(fusion), math.sqrt(query.shape[-1])
    rows = []
    for row in range(len(query)):
        length = int(mask[row].sum())
        output = [torch.zeros_like(query[row, :, 0]) for _ in range(query.shape[2])]
        for start in range(1 - window, length):
            inside = list(range(max(0, start), min(length, start + window)))
            attention = (query[row][:, inside] @ key[row][:, inside].transpose(1, 2) / scale).softmax(-1)
            attended = attention @ value[row][:, inside]  # (H, w, d_k)
            for place, utterance in enumerate(inside):
                output[utterance] = output[utterance] + fusion[utterance - start] * attended[:, place]
        rows.append(torch.stack(output, dim=1))
    return torch.stack(rows)


def plain_graph(mask: Tensor, speakers: Tensor, window: int, relations: Relations) -> Graph:
    """Edges pair by pair."""
    sources, targets, kinds, dialogue, speaker = [], [], [], [], []
    for row in range(len(mask)):
        first, length = len(dialogue), int(mask[row].sum())
        for target in range(length):
            dialogue.append(row)
            speaker.append(int(speakers[row, target]))
            for source in range(max(0, target - window), min(length, target + window + 1)):
                if source != target:
                    same = int(speakers[row, source]) == int(speakers[row, target])
                    sources.append(first + source)
                    targets.append(first + target)
                    kinds.append(2 * (not same) + (source > target))
    edges = torch.tensor([sources, targets], dtype=torch.long)
    parts = (torch.tensor(part, dtype=torch.long) for part in (kinds, dialogue, speaker))
    return Graph(edges, *parts, mask.sum(1), window, relations)


def plain_contrast(first: Tensor, second: Tensor, mask: Tensor, temperature: float, positives: None) -> Tensor:
    """Each node's two losses, in both directions."""
    assert positives is None
    total, nodes = first.new_zeros(()), 0
    for row in range(len(mask)):
        length = int(mask[row].sum())
        for one, other in ((first[row, :length], second[row, :length]), (second[row, :length], first[row, :length])):
            for node in range(length):
                between = cosine_similarity(one[node : node + 1], other) / temperature
                within = cosine_similarity(one[node : node + 1], one) / temperature
                within = torch.cat([within[:node], between[node : node + 1], within[node + 1 :]])
                total = total + between.logsumexp(0) + within.logsumexp(0) - 2 * between[node]
        nodes += length
    return total / (4 * nodes)


def plain_importance(nodes: Tensor, graph: Graph, encoder: torch.nn.Module, **settings: object) -> Tensor:
    """n whole graphs; it has its own weights of the two scores, which the views do not look at here (rho is 0)."""
    return slow_importance(nodes, graph, encoder)  # type: ignore[arg-type]


@contextmanager
def the_fields_way() -> Iterator[None]:
    """Inside, the network works in plain loops."""
    with (
        mock.patch("bigfusion.model.layers.attention.local_attention", plain_local_attention),
        mock.patch("bigfusion.model.networks.bigfusion.build_graph", plain_graph),
        mock.patch("bigfusion.model.contrast.base.contrastive_loss", plain_contrast),
        mock.patch("bigfusion.model.contrast.dual_importance.dual_importance", plain_importance),
    ):
        yield


def step(network: BigFusion, dialogues: Sequence[Dialogue], size: int) -> float:
    """Forward and backward over ``dialogues`` in batches of ``size``; the loss of all of them."""
    network.zero_grad()
    total = 0.0
    nodes = sum(map(len, dialogues))
    for start in range(0, len(dialogues), size):
        batch = collate(dialogues[start : start + size])
        share = int(batch.mask.sum()) / nodes
        parts = network.loss(network(batch), batch).values()
        value = share * torch.stack([part.weight * part.value for part in parts]).sum()
        torch.autograd.backward(value)
        total += value.item()
    return total


def seconds(run: Callable[[], object], repeats: int) -> float:
    """CPU time of the fastest of some calls, after one that warms up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def network_of(settings: BigFusionSettings, dialogues: Sequence[Dialogue]) -> BigFusion:
    """A seeded network, fitted and ready to train."""
    torch.manual_seed(0)
    network = BigFusion(settings, WIDTHS, CLASSES)
    network.fit(dialogues)
    return network.train()


def main() -> None:
    """Print both tables."""
    numbers = [argument for argument in sys.argv[1:] if argument.isdecimal()]
    torch.set_num_threads(int(numbers[0]) if numbers else 1)
    dialogues = corpus()
    base = {"modalities": ["text", "audio"], "width": 128}
    without_chance = BigFusionSettings.model_validate(base | {"dropout": 0, "contrast": {"rho": (0, 0)}})
    network = network_of(without_chance, dialogues)
    batch = dialogues[:BATCH]
    fast = seconds(lambda: step(network, batch, BATCH), 5)
    told = step(network, batch, BATCH)
    with the_fields_way():
        slow = seconds(lambda: step(network, batch, 1), 1)
        plain = step(network, batch, 1)
    print(f"{torch.get_num_threads()} thread(s), width 128, T 4, CPU time")
    print(f"a step of {BATCH} dialogues, {sum(map(len, batch))} utterances: {fast:.3f} s; in plain loops {slow:.2f} s: "
          f"{slow / fast:.0f}x; losses {told:.5f} and {plain:.5f}")  # fmt: skip

    for compiled in (False, True) if "--compile" in sys.argv else (False,):
        settings = TrainSettings(batch_size=BATCH, compile=compiled)
        optimisation = Optimisation(
            network_of(BigFusionSettings.model_validate(base), dialogues), dialogues, settings, 0
        )
        started = time.perf_counter()
        optimisation.epoch(1)
        first = time.perf_counter() - started
        times = []
        for number in (2, 3, 4):
            clock, cpu = time.perf_counter(), time.process_time()
            optimisation.epoch(number)
            times.append((time.perf_counter() - clock, time.process_time() - cpu))
        wall, cpu = min(times)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        name = "compiled" if compiled else "eager"
        times_told = f"{wall:.2f} s ({cpu:.2f} s of CPU; the first {first:.1f} s)"
        print(f"an epoch of {len(dialogues)} dialogues, {name}: {times_told}, peak memory {memory:.0f} MiB")


if __name__ == "__main__":
    main()
