"""Every network's epoch on data of IEMOCAP's size: CPU seconds, peak memory, parameters; each in a process of its own.

Random features: 108 dialogues to train on and 12 to validate on, of IEMOCAP's lengths, text of width 1024, audio 1582,
visual 342; default settings, batches of 32 and one thread. A network that cannot be trained is a line too.

With --flops, each network's epoch is run once more, and torch counts the products of matrices in it, forwards and
backwards, padding included; what is no such product (norms, sums over edges, an LSTM on a CPU) is not counted. The
table then also says how many GFLOP/s the epoch made, beside those of one large product of matrices on one thread: a
network near these is slow by its width, one far below them by its form.

Run from the project's root: python -m tests.benchmarks.bench_networks [--networks bigru bigfusion ...] [--flops]
    [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.kinds import settings_classes
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.networks.base import build
from bigfusion.model.reproduce.cost import measure
from bigfusion.model.seed import deterministic, seed_everything
from bigfusion.model.settings import NETWORKS, TrainSettings, network_settings
from bigfusion.model.training.optimise import Optimisation
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP

WIDTHS = {"text": 1024, "audio": 1582, "visual": 342}
TRAIN, VALID = 108, 12


def corpus() -> Data:
    """Dialogues of 8 to 110 turns, 48 in the mean, as IEMOCAP's 120 of the training sessions have."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.gamma(8, 6, TRAIN + VALID).round().astype(int), 8, 110)
    several = [_dialogue(number, int(length), random) for number, length in enumerate(lengths)]
    return Data(IEMOCAP, several[:TRAIN], several[TRAIN:], [])


def _dialogue(number: int, length: int, random: np.random.Generator) -> Dialogue:
    return Dialogue(
        id=f"dialogue{number}",
        utterances=tuple(f"dialogue{number}_{turn}" for turn in range(length)),
        features={name: random.normal(size=(length, width)).astype(np.float32) for name, width in WIDTHS.items()},
        present={name: np.ones(length, dtype=bool) for name in WIDTHS},
        speakers=random.integers(0, 2, length),
        labels=random.integers(0, len(IEMOCAP), length),
    )


def epoch_flops(data: Data, model: NetworkSettings, train: TrainSettings) -> int:
    """FLOPs of the products of matrices in one epoch of gradient steps; a multiplication and an addition are two."""
    with deterministic(train.threads):
        seed_everything(0)
        network = build(model.for_classes(data.labels), data.widths, len(data.labels))
        network.fit(data.train)
        optimisation = Optimisation(network, data.train, train, 0, labels=data.labels)
        with FlopCounterMode(display=False) as counter:
            optimisation.epoch(1)
    return int(counter.get_total_flops())


def machine_rate(size: int = 1024, times: int = 10) -> float:
    """GFLOP/s of CPU time that one thread makes of a product of two square matrices."""
    with deterministic(1):
        one = torch.randn(size, size)
        one @ one
        began = time.process_time()
        for _ in range(times):
            one @ one
        return 2 * size**3 * times / (time.process_time() - began) / 1e9


def main() -> None:
    """Measure, and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=[*settings_classes(NETWORKS)], help="kinds (default: all)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the figures go as JSON")
    parser.add_argument("--flops", action="store_true", help="count each epoch's FLOPs as well")
    asked = parser.parse_args()
    data, train = corpus(), TrainSettings(seeds=(0,), batch_size=32, device="cpu", threads=1)
    found: dict[str, Any] = {}
    head = f"{'network':<14} {'CPU s / epoch':>14} {'peak MiB':>9} {'parameters':>12}"
    if asked.flops:
        head += f" {'GFLOP / epoch':>14} {'GFLOP/s':>8} (a product of matrices: {machine_rate():.0f})"
    print(head, flush=True)
    for kind in asked.networks:
        try:
            cost = measure(data, network_settings({"kind": kind}), train)
        except TrainingError as error:
            found[kind] = {"failed": str(error)}
            print(f"{kind:<14} failed: {error}", flush=True)
            continue
        found[kind] = cost.model_dump()
        line = f"{kind:<14} {cost.cpu_seconds:>14.2f} {cost.peak_mib:>9.0f} {cost.parameters:>12,}"
        if asked.flops:
            flops = epoch_flops(data, network_settings({"kind": kind}), train) / 1e9
            found[kind]["gflops"] = flops
            line += f" {flops:>14.0f} {flops / cost.cpu_seconds:>8.1f}"
        print(line, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
