"""One, two and four workers over one shared store, on a Prefect server with PostgreSQL and Redis.

Prints for each: cells a second by the clock and a CPU second of the workers' runs; and what a run costs that finds
nothing to do, which is what a partition adds to its cells' own time (`RUN_CORE_S` in capacity.py). The server,
PostgreSQL and Redis share the machine: the clock tells what its cores can, CPU seconds what more machines would.

Run from the project's root: python -m tests.benchmarks.bench_workers [dialogues]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.services import Services, missing, wait

PARTITIONS, WORKERS = 4, (1, 2, 4)
SETTINGS = """
preset = "demo"
[corpus]
root = "{corpus}"
[model]
modalities = ["audio"]
[runner]
partitions = {partitions}
[extract]
chunk_size = 16
"""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """Cells, seconds from the first partition's start to the last one's end, CPU seconds of all runs on the workers."""

    cells: int
    wall: float
    cpu: float
    empty_cpu: float


def children_cpu(workers: list[subprocess.Popen[bytes]]) -> float:
    """CPU seconds of the processes that the workers have started and seen end."""
    fields = [Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split() for worker in workers]
    return sum(int(found[13]) + int(found[14]) for found in fields) / TICKS


def measure(running: Services, client: Any, config: Path, name: str, count: int) -> Measured:
    """Extract everything with ``count`` workers of one slot each, then hand the same partitions out again."""
    running.bigfusion("ingest", "--config", str(config))
    running.bigfusion("deploy", "--config", str(config), "--name", name)
    head = running.worker(f"head-{name}", limit=1)  # takes the extraction itself, and is full then
    extraction = client.create_flow_run_from_deployment(client.read_deployment_by_name(f"extract/{name}").id)

    def state(run: Any) -> Any:
        return client.read_flow_run(run.id).state

    wait("the extraction", lambda: state(extraction).is_running())
    workers = [running.worker(f"{name}-{number}", limit=1) for number in range(count)]
    wait("its end", lambda: state(extraction).is_final(), 1800)
    assert state(extraction).is_completed()
    running.end(head)
    time.sleep(5)  # until the workers have seen their runs' ends
    cpu = children_cpu(workers)
    runs = [run for run in client.read_flow_runs(limit=200) if name in run.tags and run.name.startswith("audio ")]
    wall = (max(run.end_time for run in runs) - min(run.start_time for run in runs)).total_seconds()
    again = [
        client.create_flow_run_from_deployment(run.deployment_id, parameters=run.parameters, tags=[name])
        for run in runs
    ]  # fmt: skip
    wait("the empty runs", lambda: all(state(run).is_final() for run in again), 900)
    time.sleep(5)
    empty = (children_cpu(workers) - cpu) / len(again)
    for worker in workers:
        running.end(worker)
    cells = sum(1 for _ in _keys(config))
    return Measured(cells, wall, cpu, empty)


def _keys(config: Path) -> list[str]:
    from bigfusion.flows.project import cells, corpus
    from bigfusion.flows.project.load import load
    from bigfusion.pipeline.schema import Modality

    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    return sorted(set(planned.fingerprints(Modality.AUDIO)))


def main() -> None:
    """Print the table."""
    if absent := missing():
        sys.exit(f"not installed here: {absent}")
    from bigfusion.pipeline.demo.build import build

    with tempfile.TemporaryDirectory() as folder, Services(Path(folder)) as running:
        build(Path(folder) / "MELD.Raw", dialogues=int(sys.argv[1]) if sys.argv[1:] else None)
        url = running.prefect_server(running.postgres(), running.redis())
        from prefect.client.orchestration import SyncPrefectClient

        print("workers  cells  wall s  CPU s  cells a s  cells a CPU s  CPU s an empty run")
        with SyncPrefectClient(url) as client:
            for count in WORKERS:
                config = Path(folder) / f"with-{count}" / "bigfusion.toml"
                config.parent.mkdir()
                config.write_text(SETTINGS.format(corpus=Path(folder) / "MELD.Raw", partitions=PARTITIONS))
                found = measure(running, client, config, f"with-{count}", count)
                line = f"{count:7d}  {found.cells:5d}  {found.wall:6.1f}  {found.cpu:5.1f}"
                line += f"  {found.cells / found.wall:9.2f}  {found.cells / found.cpu:13.2f}  {found.empty_cpu:18.2f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
