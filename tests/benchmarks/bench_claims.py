"""A million cells claimed by four processes, as four workers on one machine do it.

Run from the project's root: python -m tests.benchmarks.bench_claims [cells] [workers]

Every worker goes through all chunks of 64 cells in an order of its own, claims what is free, looks whether it is done
(here: a flag in shared memory, in the product: the store), and marks what it got. In the number: the claims alone. No
cell may be given to two workers at once, and none be left.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from bigfusion.pipeline.store.claims import Claims

CHUNK = 64


def worker(folder: Path, number: int, chunks: int, done: mmap.mmap, twice: mmap.mmap) -> None:
    """Claim and mark every cell that is free and not done, until all are."""
    claims, order = Claims(folder / "claims"), list(range(chunks))
    random.Random(number).shuffle(order)
    while order:
        left = []
        for chunk in order:
            if done[chunk] == 1:
                continue
            keys = [hashlib.sha256(f"{chunk}-{n}".encode()).hexdigest() for n in range(CHUNK)]
            with claims.take(keys) as mine:
                if len(mine) < CHUNK:
                    left.append(chunk)
                elif done[chunk] == 0:
                    done[chunk] = 2
                    time.sleep(0)
                    twice[number] += done[chunk] != 2
                    done[chunk] = 1
        order = left


def main() -> None:
    """Measure and print."""
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    chunks = cells // CHUNK
    done, twice = mmap.mmap(-1, chunks), mmap.mmap(-1, workers)
    with tempfile.TemporaryDirectory() as folder:
        begun, processor = time.perf_counter(), os.times()
        children = []
        for number in range(workers):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    worker(Path(folder), number, chunks, done, twice)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        after = os.times()
        found = {
            "cells": chunks * CHUNK,
            "workers": workers,
            "seconds": round(time.perf_counter() - begun, 1),
            "processor_seconds": round(
                after.children_user + after.children_system - processor.children_user - processor.children_system, 1
            ),
            "left": sum(done[chunk] != 1 for chunk in range(chunks)),
            "given_twice": sum(twice[number] for number in range(workers)),
            "failed_workers": sum(map(bool, codes)),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
