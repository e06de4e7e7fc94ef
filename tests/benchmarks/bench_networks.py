"""Every network's epoch on data of IEMOCAP's size: CPU seconds, peak memory, parameters; each in a process of its own.

Random features: 108 dialogues to train on and 12 to validate on, of IEMOCAP's lengths, text of width 1024, audio 1582,
visual 342; default settings, batches of 32 and one thread. A network that cannot be trained is a line too.

Run from the project's root: python -m tests.benchmarks.bench_networks [--networks bigru bigfusion ...] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.kinds import settings_classes
from bigfusion.model.reproduce.cost import measure
from bigfusion.model.settings import NETWORKS, TrainSettings, network_settings
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


def main() -> None:
    """Measure, and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=[*settings_classes(NETWORKS)], help="kinds (default: all)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the figures go as JSON")
    asked = parser.parse_args()
    data, train = corpus(), TrainSettings(seeds=(0,), batch_size=32, device="cpu", threads=1)
    found: dict[str, Any] = {}
    print(f"{'network':<14} {'CPU s / epoch':>14} {'peak MiB':>9} {'parameters':>12}", flush=True)
    for kind in asked.networks:
        try:
            cost = measure(data, network_settings({"kind": kind}), train)
        except TrainingError as error:
            found[kind] = {"failed": str(error)}
            print(f"{kind:<14} failed: {error}", flush=True)
            continue
        found[kind] = cost.model_dump()
        print(f"{kind:<14} {cost.cpu_seconds:>14.2f} {cost.peak_mib:>9.0f} {cost.parameters:>12,}", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
