"""Every network's gradient steps beside its plain per-dialogue form: CPU time, one thread, the same numbers.

The plain forms (``tests/helpers/plain``) take one dialogue at a time, in loops over utterances, edges, relations,
parties and windows, as the code published with these papers does; tests hold both to the same logits, losses and
gradients. The dialogues are the first of those of ``bench_networks``; settings are the defaults. An epoch is: read the
dialogues, forward, loss, backward, for all of them; the network in batches of 32, the plain form dialogue by dialogue.
No optimizer steps in either. Both run in turns in one process, and the fastest turn of each counts: on a busy machine
the others measure its business.

The logistic regression has no gradient steps. Its line is its fit against scikit-learn's on the same columns.

--flops also prints how many GFLOP/s of matrix products the network makes, beside those of one large product: a network
near that rate is at the limit of its width, which no form can pass.

Run from the project's root: python -m tests.benchmarks.bench_plain [--networks bigru ...] [--dialogues 32] [--turns 3]
    [--flops] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bigfusion.model.data.batch import Batch, Dialogue, collate
from bigfusion.model.layers.regression import penalised_regression
from bigfusion.model.networks.base import Network, Output, build
from bigfusion.model.seed import deterministic
from bigfusion.model.settings import network_settings
from bigfusion.pipeline.tables.labels import IEMOCAP
from tests.benchmarks.bench_networks import WIDTHS, corpus, machine_rate
from tests.helpers.plain.dialogue import plain

BATCH = 32
ORDER = (
    "bigru", "mm_dfn", "mmgcn", "dag_erc", "dialogue_rnn", "cogmen", "ga2mif", "graphsmile", "joyful", "adaign", "scmm",
    "cmcf_srnet", "sdt", "amb_dsgdn", "mvn", "bigfusion", "logistic",
)  # fmt: skip
RECURRENT = {"bigru", "dag_erc", "dialogue_rnn"}
"""Networks that are a recurrence over time: 3 times is their bar, 5 the others'."""


def epoch(network: Network, dialogues: Sequence[Dialogue], size: int, form: Callable[[Batch], Output]) -> float:
    """Forward and backward over all dialogues in batches of ``size``; the loss, weighed by utterances."""
    network.zero_grad()
    total, whole = 0.0, sum(map(len, dialogues))
    for start in range(0, len(dialogues), size):
        batch = collate(dialogues[start : start + size])
        parts = network.loss(form(batch), batch).values()
        value = torch.stack([part.weight * part.value for part in parts]).sum() * (int(batch.mask.sum()) / whole)
        if value.requires_grad:
            value.backward()
        total += value.item()
    return total


def network_of(kind: str, dialogues: Sequence[Dialogue]) -> Network:
    """At its default settings, fitted and ready to train."""
    torch.manual_seed(0)
    network = build(network_settings({"kind": kind}).for_classes(IEMOCAP), WIDTHS, 6)
    network.fit(dialogues)
    network.begin_epoch(1, 10)
    return network.train()


def seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    began = time.process_time()
    run()
    return time.process_time() - began


def compared(kind: str, dialogues: Sequence[Dialogue], turns: int) -> dict[str, Any]:
    """Both forms' CPU seconds, and their losses in evaluation."""
    network = network_of(kind, dialogues)
    forms: dict[str, Callable[[], float]] = {
        "network": lambda: epoch(network, dialogues, BATCH, network),
        "plain": lambda: epoch(network, dialogues, 1, lambda batch: plain(kind, network, batch)),
    }
    epoch(network, dialogues[:2], BATCH, network)  # what is done once
    epoch(network, dialogues[:2], 1, lambda batch: plain(kind, network, batch))
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(turns):
        for name, run in forms.items():
            times[name].append(seconds(run))
    found = {name: min(own) for name, own in times.items()}
    network.eval()  # nothing is drawn
    with torch.no_grad():
        losses = {f"{name}_loss": run() for name, run in forms.items()}
    return {**found, "ratio": found["plain"] / found["network"], **losses}


def fitted(dialogues: Sequence[Dialogue], turns: int) -> dict[str, Any]:
    """The logistic regression's fit, and scikit-learn's on the same standardised columns and with the same penalty."""
    network = network_of("logistic", dialogues)
    columns = torch.cat([network.read(collate([dialogue])).joined for dialogue in dialogues]).numpy()
    labels = np.concatenate([dialogue.labels for dialogue in dialogues])
    trusted = LogisticRegression(C=1 / (2 * network.penalty * len(labels)), max_iter=10_000)
    times: dict[str, list[float]] = {"network": [], "plain": []}
    solved: list[tuple[torch.Tensor, torch.Tensor]] = []

    def solve() -> tuple[torch.Tensor, torch.Tensor]:
        rows, classes = torch.from_numpy(columns), torch.from_numpy(labels)
        return penalised_regression(rows, classes, len(network.bias), network.penalty)

    for _ in range(turns):
        times["network"].append(seconds(lambda: solved.append(solve())))
        times["plain"].append(seconds(lambda: trusted.fit(columns, labels)))
    found = {name: min(own) for name, own in times.items()}
    weights = nn.functional.cross_entropy

    def loss(weight: torch.Tensor, bias: torch.Tensor) -> float:
        logits = torch.from_numpy(columns) @ weight.T + bias
        return float(weights(logits, torch.from_numpy(labels)) + network.penalty * weight.square().sum())

    theirs = torch.from_numpy(trusted.coef_).float(), torch.from_numpy(trusted.intercept_).float()
    losses = {"network_loss": loss(*solved[-1]), "plain_loss": loss(*theirs)}
    return {**found, "ratio": found["plain"] / found["network"], **losses}


def flops(kind: str, dialogues: Sequence[Dialogue]) -> int:
    """FLOPs of the products of matrices in the network's epoch, padding included."""
    network = network_of(kind, dialogues)
    with FlopCounterMode(display=False) as counter:
        epoch(network, dialogues, BATCH, network)
    return int(counter.get_total_flops())


def main() -> None:
    """Measure, and print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=ORDER, help="kinds (default: all)")
    parser.add_argument("--dialogues", type=int, default=BATCH, help="how many of the corpus's (default: one batch)")
    parser.add_argument("--turns", type=int, default=3, help="of each form")
    parser.add_argument("--flops", action="store_true", help="count the network's FLOPs as well")
    parser.add_argument("--json", type=Path, metavar="OUT", help="where the figures go as JSON")
    asked = parser.parse_args()
    dialogues = corpus().train[: asked.dialogues]
    found: dict[str, Any] = {}
    with deterministic(1):
        print(f"{len(dialogues)} dialogues, {sum(map(len, dialogues))} utterances; CPU seconds, one thread", end="")
        print(f"; a product of matrices makes {machine_rate():.0f} GFLOP/s" if asked.flops else "")
        print(f"{'network':<13} {'batched':>8} {'plain':>8} {'ratio':>6}  losses in evaluation", flush=True)
        for kind in asked.networks:
            numbers = fitted(dialogues, asked.turns) if kind == "logistic" else compared(kind, dialogues, asked.turns)
            line = (
                f"{kind:<13} {numbers['network']:>8.3f} {numbers['plain']:>8.3f} {numbers['ratio']:>6.1f}  "
                f"{numbers['network_loss']:.6f} {numbers['plain_loss']:.6f}"
            )
            if asked.flops and kind != "logistic":
                numbers["gflops"] = flops(kind, dialogues) / 1e9
                line += f"  {numbers['gflops']:.0f} GFLOP, {numbers['gflops'] / numbers['network']:.0f} GFLOP/s"
            found[kind] = numbers
            print(line, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
