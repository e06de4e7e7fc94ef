"""Commands that are killed or terminated: no process stays behind, nothing is lost, the next one goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bigfusion.flows import cli
from tests.helpers.demo_corpus import copy_corpus
from tests.helpers.own_features import separable
from tests.helpers.small_project import CONFIG

MOMENTS = ("work/prefect/prefect.db", "work/store/text/*.parquet", "work/runs/*/seed-0/resume.safetensors")
"""Files that are there while Prefect's server starts, cells are computed, a network is trained."""


@pytest.mark.slow
def test_a_command_that_is_killed_three_times_leaves_nothing_behind_and_goes_on(tmp_path):
    """SIGKILL once a file and Prefect's own server are there: the next command ends that server and goes on.

    A copied database is there before its server.
    """
    copy_corpus(tmp_path / "MELD.Raw", dialogues=1)
    (tmp_path / "bigfusion.toml").write_text(
        CONFIG.replace('"audio", "visual"', '"audio"').replace("epochs = 2", "epochs = 40\npatience = 40")
    )
    bigfusion, config = [sys.executable, "-m", "bigfusion.flows.cli"], ["--config", str(tmp_path / "bigfusion.toml")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = f"PREFECT_HOME={(tmp_path / 'work/prefect').resolve()}"
    left: set[str] = set()
    for moment in MOMENTS:
        command = subprocess.Popen([*bigfusion, "run", *config], env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while not (list(tmp_path.glob(moment)) and _processes(home) - left) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _processes(home) & left, "the next command ends the server of the one that was killed"
        command.send_signal(signal.SIGKILL)
        command.wait()
        left = _processes(home)
        assert left, "the killed command's server is expected to live on"
    stored = sorted(tmp_path.glob("work/store/text/*.parquet"))
    last = subprocess.run(
        [*bigfusion, "run", *config], check=False, env=environment, capture_output=True, text=True, timeout=400
    )
    assert last.returncode == 0, last.stderr
    assert "was interrupted and goes on" in last.stderr
    assert "evaluate: test WF1" in last.stderr
    assert sorted(tmp_path.glob("work/store/text/*.parquet")) == stored, "what was computed is not computed again"
    assert not _processes(home)
    status = subprocess.run([*bigfusion, "status", "--json", *config], check=True, env=environment, capture_output=True)
    assert not [
        run for run in json.loads(status.stdout)["flow_runs"] if run["state"].startswith(("Running", "Pending"))
    ]


@pytest.mark.slow
def test_a_terminated_command_ends_its_server(tmp_path):
    """SIGTERM in the middle of training, as Slurm and docker send it: no process is left, and nothing was lost."""
    separable(tmp_path / "mine.parquet")
    assert cli.main(["import", str(tmp_path / "mine.parquet"), str(tmp_path / "mine")]) == 0
    settings = ["train.epochs=100000", "train.patience=100000", "model.modalities=['text']", "model.width=16"]
    command = [sys.executable, "-m", "bigfusion.flows.cli", "run", "--config", str(tmp_path / "mine/bigfusion.toml")]
    command += [part for setting in settings for part in ("--set", setting)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("mine/work/runs/*/seed-0/resume.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.1)
    home = f"PREFECT_HOME={(tmp_path / 'mine/work/prefect').resolve()}"
    assert _processes(home)
    process.terminate()
    _, shown = process.communicate(timeout=120)
    assert process.returncode == 143, shown
    assert "Traceback" not in shown
    assert shown.strip().endswith("the same command goes on from there")
    assert not _processes(home)


def _processes(marker: str) -> set[str]:
    """The processes with ``marker`` in their environment, but for those that have ended."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes() and (process / "cmdline").read_bytes():
                found.add(process.name)
        except OSError:
            continue
    return found
