"""Leave one session out over IEMOCAP's training dialogues: `tuned`, its ablations, a biGRU, a logistic regression.

Each of the sessions 1 to 4 is held out once: the network trains on the other three for the preset's epochs, without a
validation split, and its last weights are scored on all of the held-out session. Nothing else is chosen on the fold.
Every result is a line of JSON in OUT; a run that was stopped goes on where it was.

Run from the project's root: python -m tests.benchmarks.bench_ablations FEATURES.parquet OUT.jsonl
    [--variants complete bigru ...] [--seeds 0 1 2 3 4] [--set model.width=64 ...] [--table]
"""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bigfusion.flows.project.assemble import dialogues
from bigfusion.flows.project.load import laid, read_preset
from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import true_labels
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.networks.base import build
from bigfusion.model.scoring.metrics import scores
from bigfusion.model.scoring.predict import predict
from bigfusion.model.seed import deterministic, seed_everything
from bigfusion.model.settings import TrainSettings, network_settings
from bigfusion.model.training.optimise import Optimisation
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.schema import Split

Changes = dict[str, Any]

PLAIN: Changes = {"train": {"batch_size": 8, "smoothing": 0.0, "average": 0.0}}
"""The project's defaults: what the paper says where it says anything."""

WITHOUT_CONTRAST: Changes = {"model": {"contrast": {"enabled": False}}}
RECURRENT: Changes = {"model": {"kind": "bigru"}}
NO_GRAPH: Changes = {"model": {"contrast": {"enabled": False}, "graph": {"enabled": False}}}

VARIANTS: dict[str, tuple[Changes, ...]] = {
    "complete": (),
    "bigru": (RECURRENT, {"model": {"feature_dropout": 0.3}}),
    "bigru, plain recipe": (RECURRENT, PLAIN),
    "logistic": ({"model": {"kind": "logistic"}},),
    "no graph": (NO_GRAPH,),
    "no neighbourhood": ({"model": {"graph": {"neighbourhood": {"enabled": False}}}},),
    "no spiking": ({"model": {"spiking": {"enabled": False}}},),
    "no contrast": (WITHOUT_CONTRAST,),
    "random importance": ({"model": {"importance": {"method": "random"}}},),
}


def settings_of(variant: str, own: Changes) -> tuple[NetworkSettings, TrainSettings]:
    """The tuned preset with the variant's changes."""
    table = laid({"model": {"modalities": ["text", "audio"]}}, laid(read_preset("tuned"), own))
    for change in VARIANTS[variant]:
        table = laid(table, change)
    return network_settings(table["model"]), TrainSettings.model_validate(table["train"])


def session(dialogue: Dialogue) -> int:
    """1 for Ses01F_impro01."""
    found = re.match(r"Ses0(\d)", dialogue.id)
    assert found is not None, f"{dialogue.id}: expected an IEMOCAP dialogue's id"
    return int(found[1])


def one(some: list[Dialogue], classes: int, variant: str, fold: int, seed: int, own: Changes) -> dict[str, Any]:
    """Train on all sessions but ``fold`` and score that one."""
    model_settings, train_settings = settings_of(variant, own)
    train = [dialogue for dialogue in some if session(dialogue) != fold]
    held = [dialogue for dialogue in some if session(dialogue) == fold]
    started = time.process_time()
    with deterministic(1):
        seed_everything(seed)
        widths = {name: array.shape[1] for name, array in some[0].features.items()}
        network = build(model_settings, widths, classes)
        network.fit(train)
        optimisation = Optimisation(network, train, train_settings, seed)
        for epoch in range(1, train_settings.epochs + 1):
            steps = optimisation.epoch(epoch)
        logits = predict(optimisation.scored, held, torch.device("cpu"), 8)
    found = scores(true_labels(held), logits.argmax(1).numpy(), classes)
    return {
        "variant": variant, "fold": fold, "seed": seed, "wf1": 100 * found.weighted_f1, "loss": steps.loss,
        "cpu_seconds": time.process_time() - started, "parameters": sum(p.numel() for p in network.parameters()),
    }  # fmt: skip


def table(lines: list[dict[str, Any]]) -> None:
    """Means over folds and seeds, and each variant's difference from ``complete`` where both ran."""
    found = {(line["variant"], line["fold"], line["seed"]): line["wf1"] for line in lines}
    print(f"{'variant':<22} {'n':>3} {'WF1':>6} {'complete less it':>17} {'s.e.':>5}   folds")
    for variant in VARIANTS:
        keys = [key for key in found if key[0] == variant]
        if not keys:
            continue
        folds = [np.mean([found[key] for key in keys if key[1] == fold]) for fold in sorted({key[1] for key in keys})]
        paired = [("complete", *key[1:]) for key in keys if ("complete", *key[1:]) in found]
        gaps = np.array([found[key] - found[variant, *key[1:]] for key in paired])
        error = gaps.std(ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
        mean = np.mean([found[key] for key in keys])
        each = " ".join(f"{fold:.1f}" for fold in folds)
        gap = f"{gaps.mean():17.2f} {error:5.2f}" if len(gaps) else f"{'':17} {'':5}"
        print(f"{variant:<22} {len(keys):>3} {mean:6.2f} {gap}   {each}")


def main() -> None:
    """Train what is missing in OUT, then print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--settings", type=json.loads, default={}, help='over the preset: {"model": {"width": 64}}')
    parser.add_argument("--table", action="store_true", help="train nothing")
    arguments = parser.parse_args()

    lines = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    if not arguments.table:
        found = read_features(arguments.features, fill=False)
        names = {name.value: (found.features[name], found.present[name]) for name in found.features}
        several = dialogues(found.manifest, names)
        some = [dialogue for split in Split for dialogue in several[split]]
        done = {(line["variant"], line["fold"], line["seed"]) for line in lines}
        plan = [(v, f, s) for s in arguments.seeds for f in (1, 2, 3, 4) for v in arguments.variants]
        for variant, fold, seed in plan:
            if (variant, fold, seed) in done:
                continue
            line = one(some, len(found.manifest.labels), variant, fold, seed, arguments.settings)
            lines.append(line)
            with arguments.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"{variant}, session {fold}, seed {seed}: {line['wf1']:.2f}", flush=True)
    table(lines)


if __name__ == "__main__":
    main()
