"""CPU seconds and peak memory of the commands that a person waits for, each in a fresh process.

Run from the project's root, on a project that is up to date: python -m tests.benchmarks.bench_commands [demo] [rounds]

Every command runs once unmeasured, which compiles its byte code and fills the caches; of the measured rounds the least
is printed. CPU seconds are user and system together, of the command and of every process that it starts and waits for.
The bounds are those that the project keeps to; a line beyond one is marked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BOUNDS = {
    "--version": (0.2, None),
    "--help": (0.2, None),
    "plan --help": (0.2, None),
    "status": (2.0, None),
    "models": (1.5, None),
    "settings": (1.5, None),
    "explain UTTERANCE": (1.5, None),
    "plan": (3.0, None),
    "run": (3.0, 300.0),
    "report": (None, None),
    "store info": (None, None),
    "ingest": (None, None),
}
"""CPU seconds and MiB of each command; ``run`` has nothing to do."""


def measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and peak MiB of one command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: code {process.returncode}; the project has to be up to date")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def an_utterance(config: Path) -> str:
    """The first utterance of the project, read elsewhere: a process begins with the peak of the one that starts it."""
    script = (
        "import sys\n"
        "from bigfusion.flows.project.corpus import kept\n"
        "from bigfusion.flows.project.load import load\n"
        "print(kept(load(sys.argv[1])).table['utterance'].iloc[0])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(config)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def main(folder: str = "demo", rounds: str = "3") -> None:
    """Print a line a command."""
    config = Path(folder) / "bigfusion.toml"
    utterance = an_utterance(config)
    print(f"{'command':<20}{'CPU s':>7}{'at most':>9}{'MiB':>7}{'at most':>9}")
    for name, (seconds, mebibytes) in BOUNDS.items():
        words = [utterance if word == "UTTERANCE" else word for word in name.split()]
        command = [sys.executable, "-m", "bigfusion.flows.cli", *words]
        command += [] if name.startswith("--") else ["--config", str(config)]
        measured(command)
        runs = [measured(command) for _ in range(int(rounds))]
        spent, held = min(run[0] for run in runs), min(run[1] for run in runs)
        beyond = (seconds is not None and spent > seconds) or (mebibytes is not None and held > mebibytes)
        bounds = [f"{bound:>9}" if bound is not None else f"{'':>9}" for bound in (seconds, mebibytes)]
        print(f"{name:<20}{spent:>7.2f}{bounds[0]}{held:>7.0f}{bounds[1]}{'  beyond' if beyond else ''}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
