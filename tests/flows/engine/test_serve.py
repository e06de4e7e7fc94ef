"""`bigfusion serve` beside other commands of the same project: each process is a real one."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from bigfusion.flows.engine.server import free_port
from tests.helpers.small_project import Place


def environment() -> dict[str, str]:
    """Without a server of the user's."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return plain | {"OMP_NUM_THREADS": "1"}


def bigfusion(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bigfusion.flows.cli", *arguments, "--config", str(place.config)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=240)


def flow_runs(port: int) -> dict[str, str]:
    """The names of the server's flow runs, and their states."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/flow_runs/filter", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return {run["name"]: run["state_name"] for run in json.load(answer)}


@pytest.fixture
def serving(place: Place):
    """An idle `bigfusion serve` on the project: the port, and the process."""
    port = free_port()
    command = [sys.executable, "-m", "bigfusion.flows.cli", "serve", "--config", str(place.config), "--port", str(port)]
    with (place.folder / "serve.log").open("w") as log:
        process = subprocess.Popen([*command, "--cron", "0 3 1 1 *"], env=environment(), stdout=log, stderr=log)
    deadline = time.monotonic() + 200
    while "Ctrl-C ends it" not in (place.folder / "serve.log").read_text():
        assert process.poll() is None, (place.folder / "serve.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.5)
    yield port, process
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    finally:
        process.kill()


@pytest.mark.slow
def test_another_command_leaves_an_idle_server_alone_and_reports_to_it(place: Place, serving):
    port, process = serving
    trained = bigfusion(place, "train", "--set", "train.epochs=1")
    assert trained.returncode == 0, trained.stderr
    assert "a Prefect server that a killed command had left behind" not in trained.stderr
    assert process.poll() is None
    runs = flow_runs(port)
    assert runs["train copy"] == "Completed"
    assert "retrain copy" not in runs or runs["retrain copy"] == "Scheduled"

    second = bigfusion(place, "serve", "--port", str(free_port()))
    assert second.returncode == 1
    (line,) = second.stderr.splitlines()
    assert f"found process {process.pid} at http://127.0.0.1:{port}/api" in line
    assert flow_runs(port)
