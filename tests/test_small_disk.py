"""A disk that is really full, for everything that writes: `run` stage by stage, as a process of its own."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.calm_run import calm_run
from tests.helpers.lab import talk
from tests.helpers.processes import Project

STAGES = {
    "ingest": None,
    "extract": "store/text/text-*.parquet",
    "train": "runs/*/seed-0/resume.safetensors",
    "evaluate": "runs/*/seed-0/trained.json",
    "report": "runs/*/predictions.parquet",
}
"""Each stage of `run`, and the file that shows that it is under way."""
PATIENCE = 240.0
"""Seconds within which a command must have said that the disk is full."""


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own in memory; what is on it is counted to the last byte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(place)]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk in memory")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk to its last byte."""
    ballast = disk / "ballast"
    for size in (65536, 1):
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while file.write(b"\0" * size):
                pass
    return ballast


@pytest.mark.slow
def test_a_disk_that_is_full_for_everything_in_every_stage(disk, tmp_path):
    """Not our files alone: Prefect's database, the index, logs. One line each time, and the same command goes on."""
    project = Project(talk(disk / "project", 0, 4, ("epochs = 2", "epochs = 60\npatience = 60")))
    before: set[str] = set()
    for stage, pattern in STAGES.items():
        if pattern is None:
            ballast = fill(disk)
            process = project.start("run")
        else:
            process = project.start("run")
            project.wait(pattern, process, len(before) + 1 if stage == "extract" else 1)
            ballast = fill(disk)
        begun = time.monotonic()
        _, said = process.communicate(timeout=600)
        last = "".join(said.strip().splitlines()[-1:])
        print(f"{stage}: code {process.returncode} after {time.monotonic() - begun:.0f} s: {last}")
        ballast.unlink()
        assert "Traceback" not in said, said
        if process.returncode:
            assert last.startswith("bigfusion: "), said
            assert "room" in last or "full" in last or "space" in last, said
        assert time.monotonic() - begun < PATIENCE, stage
        assert before <= project.shards(), f"{stage}: a stored cell was lost"
        before = project.shards()
    project.run("run")
    assert json.loads(project.run("plan", "--json"))["pending_cells"] == 0
    project.run("fsck")
    calm = calm_run(project.config, tmp_path / "calm")
    (predictions,) = project.predictions()
    pd.testing.assert_frame_equal(predictions, pd.read_parquet(calm / "predictions.parquet"))
