"""A plan in which nothing changed, for a million utterances, beside looking at every file again.

Run from the project's root: python -m tests.benchmarks.bench_plan [utterances] [folder that is kept]

What is in the number: a fresh process (its start and imports are shown apart) reads and verifies the kept manifest,
describes the extractors (settings, weights, syntax trees of all code that they reach), brings the index up to date with
the shard folder, plans three modalities, and works out which training run all of it calls for. Not in it: the scan of
the corpus, which is ingest's work and has its own cache of file stats. The baseline stats and hashes media files of
64 KiB, as a tool without an index would, and is scaled up from a sample.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bigfusion.flows.project import cells
from bigfusion.flows.project.load import load
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.fingerprints import fingerprints, inputs
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.shards import Cell, Origin

SHARD, WIDTH, SAMPLE, MEDIA = 4096, 4, 4000, 64 * 1024


def made(size: int) -> Manifest:
    """A manifest of so many utterances, twenty a dialogue."""
    rows = range(size)
    sha256 = [hashlib.sha256(b"%d" % row).hexdigest() for row in rows]
    names = [f"train/dia{row // 20}_utt{row % 20}" for row in rows]
    columns = {
        "utterance": names, "split": ["train"] * size, "dialogue": [name.rsplit("_", 1)[0] for name in names],
        "turn": [row % 20 for row in rows], "speaker": ["AB"[row % 2] for row in rows],
        "text": [f"This is what somebody says in line {row}." for row in rows], "label": ["joy"] * size,
        "audio_path": [f"{name}.mp4" for name in names], "audio_sha256": sha256,
        "visual_path": [f"{name}.mp4" for name in names], "visual_sha256": sha256,
    }  # fmt: skip
    return Manifest.of("meld", Path("/data"), ("joy", "anger"), columns)


def project(folder: Path) -> Project:
    """The demo's settings on a workspace in ``folder``."""
    return load(None, "demo", [f"workspace.path={folder}", f"corpus.root={folder}"])


def fill(mine: Project, manifest: Manifest) -> None:
    """Store every cell of ``manifest``, with short vectors: a plan does not look at them."""
    store = mine.files.store()
    vector = np.zeros(WIDTH, np.float32)
    for modality in Modality:
        extractor = cells.description(cells.extractor(mine, modality))
        keys = fingerprints(manifest.table, modality, extractor).hex()
        rows = zip(manifest.table["utterance"].tolist(), inputs(manifest.table, modality, extractor), strict=True)
        kept = [Cell(keys[64 * n : 64 * n + 64], name, Status.OK, text, vector) for n, (name, text) in enumerate(rows)]
        for start in range(0, len(kept), SHARD):
            store.commit(Origin("meld", modality, extractor, "r", "2026-01-01", 1.0), kept[start : start + SHARD])
    store.close()


MEASURE = """
import json, sys, time
started = time.perf_counter()
from pathlib import Path
from bigfusion.flows.project import standing
from tests.benchmarks.bench_plan import project
imported = time.perf_counter()
mine = project(Path(sys.argv[1]))
now = standing.load(mine)
manifest, planned, run = now.manifest, now.plan, now.run
seconds = time.perf_counter() - imported
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) / 1024  # ru_maxrss would count the process that started this one
print(json.dumps({"seconds": seconds, "cpu": time.process_time(), "imports": imported - started, "MiB": peak,
                  "pending": planned.pending_count, "cells": len(manifest) * len(planned.parts), "run": run.id}))
"""


def measured(folder: Path) -> dict[str, float]:
    """One plan in a process of its own."""
    code = MEASURE
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    shown = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True, env=environment
    )
    found: dict[str, float] = json.loads(shown.stdout)
    return found


def baseline(folder: Path, files: int) -> float:
    """Seconds to stat and hash ``files`` media files, from a sample of fewer that lie in the page cache."""
    for number in range(SAMPLE):
        (folder / f"{number}.mp4").write_bytes(number.to_bytes(8, "big") * (MEDIA // 8))
    started = time.perf_counter()
    for number in range(SAMPLE):
        path = folder / f"{number}.mp4"
        path.stat()
        hashlib.sha256(path.read_bytes()).hexdigest()
    return (time.perf_counter() - started) * files / SAMPLE


def main() -> None:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(scratch)
        mine = project(folder)
        if not mine.files.manifest.exists():
            manifest = made(size)
            manifest.write(mine.files.manifest)
            started = time.perf_counter()
            fill(mine, manifest)
            print(f"store of {3 * size} cells made in {time.perf_counter() - started:.0f} s")
            del manifest
        for name in ("first plan", "nothing changed", "nothing changed"):
            found = measured(folder)
            print(
                f"{name:<16} {found['cells']:>9} cells {found['pending']} pending {found['seconds']:6.2f} s"
                f" (imports {found['imports']:.2f} s, CPU in all {found['cpu']:.2f} s), peak {found['MiB']:.0f} MiB"
            )
        sample = Path(scratch) / "media"
        sample.mkdir()
        hashed = baseline(sample, size)
        print(f"stat and hash of {size} files of {MEDIA // 1024} KiB, scaled up from {SAMPLE}: {hashed:.1f} s")


if __name__ == "__main__":
    main()
