"""Reading a run's features in one go, and one cell at random: 13,708 utterances in three modalities.

Run from the project's root: python -m tests.benchmarks.bench_store [utterances] [cells a shard]
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.shards import Cell, Origin
from bigfusion.pipeline.store.store import Store

WIDTHS = {Modality.TEXT: 1024, Modality.AUDIO: 1582, Modality.VISUAL: 342}


def fill(store: Store, utterances: int, chunk: int) -> dict[Modality, list[str]]:
    """Random features; the fingerprints by modality."""
    random, keys = np.random.default_rng(0), {}
    for modality, width in WIDTHS.items():
        keys[modality] = [hashlib.sha256(f"{modality}{n}".encode()).hexdigest() for n in range(utterances)]
        for start in range(0, utterances, chunk):
            part = keys[modality][start : start + chunk]
            vectors = random.normal(size=(len(part), width)).astype(np.float32)
            cells = [Cell(key, key[:12], Status.OK, "{}", vector) for key, vector in zip(part, vectors, strict=True)]
            store.commit(Origin("c", modality, {"name": modality}, "r", "2026", 1.0), cells)
    return keys


def measure(store: Store, keys: dict[Modality, list[str]], what: str) -> None:
    """Best of three in one go, median and worst of a hundred single cells."""
    whole, cpu = [], []
    for _ in range(3):
        started, used = time.perf_counter(), time.process_time()
        for modality, wanted in keys.items():
            assert store.read(modality, wanted).present.all()
        whole.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    single, single_cpu = [], []
    for n in np.random.default_rng(1).integers(0, len(keys[Modality.TEXT]), 100):
        for modality in keys:
            started, used = time.perf_counter(), time.process_time()
            store.read(modality, [keys[modality][n]])
            single.append(1e3 * (time.perf_counter() - started))
            single_cpu.append(1e3 * (time.process_time() - used))
    print(
        f"{what}: {len(store.folder.names())} shards; all in {min(whole):.2f} s (CPU {min(cpu):.2f} s);"
        f" one cell {statistics.median(single):.2f} ms, 95 % below {np.quantile(single, 0.95):.2f} ms"
        f" (CPU {statistics.median(single_cpu):.2f} and {np.quantile(single_cpu, 0.95):.2f} ms)"
    )


def main() -> None:
    """Print both states of a store."""
    utterances, chunk = (int(n) for n in (*sys.argv[1:], *(13_708, 64)[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        keys = fill(store, utterances, chunk)
        measure(store, keys, f"{chunk} cells a shard")
        compact(store)
        remove(store, find_garbage(store, (bytes.fromhex(key) for part in keys.values() for key in part), grace=0))
        measure(store, keys, "compacted")


if __name__ == "__main__":
    main()
