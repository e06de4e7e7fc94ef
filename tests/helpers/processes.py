"""Commands of a project as processes of their own, without a Prefect server of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd


class Project:
    """A project, and commands on it with more variables in their environment."""

    def __init__(self, config: Path, environment: Mapping[str, str] | None = None) -> None:
        self.config, self.environment = config, dict(environment or {})
        self.work = config.parent / "work"

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "bigfusion.flows.cli", command, *arguments, "--config", str(self.config)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"OMP_NUM_THREADS": "1"} | self.environment
        return subprocess.Popen(
            words, env=environment, cwd=self.config.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, command: str, *arguments: str, code: int = 0) -> str:
        return ended(self.start(command, *arguments), code)

    def wait(self, pattern: str, process: subprocess.Popen[str], count: int = 1) -> None:
        """Until so many files of the workspace match, while the process works."""
        deadline = time.monotonic() + 400
        while len(list(self.work.glob(pattern))) < count:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, pattern
            time.sleep(0.05)

    def shards(self) -> set[str]:
        return {path.name for path in self.work.glob("store/text/text-*.parquet")}

    def predictions(self) -> list[pd.DataFrame]:
        return [pd.read_parquet(path) for path in sorted(self.work.glob("runs/*/predictions.parquet"))]


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a process printed, once it has ended as expected."""
    out, said = process.communicate(timeout=600)
    assert process.returncode == code, said
    return out
