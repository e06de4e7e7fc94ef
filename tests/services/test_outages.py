"""Outages under a retrain: its server killed, its database stopped, itself cancelled. All on real services."""

import importlib.util
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.states import Cancelling

from tests.helpers import services
from tests.helpers.lab import finished, in_the_middle, lab, prefect_api, runs, state_of

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.skipif(bool(services.missing()), reason=f"not installed here: {services.missing()} (apt-get install)"),
    pytest.mark.skipif(importlib.util.find_spec("prefect_redis") is None, reason="needs bigfusion[production]"),
]


def test_a_cancelled_retrain_leaves_nothing_behind(tmp_path):
    """Cancelled in the middle of a partition: no run and no process of it goes on."""
    config = lab(tmp_path / "lab", 1)
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        running.bigfusion("deploy", "--config", str(config), "--name", "lab")
        with prefect_api(running) as client:
            deployment = client.read_deployment_by_name("retrain/lab")
            retrain = client.create_flow_run_from_deployment(deployment.id)
            running.worker("works", limit=2)
            services.wait("a partition in the middle", lambda: in_the_middle(tmp_path / "works.log"), 600)
            client.set_flow_run_state(retrain.id, Cancelling(), force=True)
            services.wait("the end", lambda: state_of(client, retrain).is_final(), 120, every=1)
            assert state_of(client, retrain).is_cancelled()
            services.wait(
                "its parts'", lambda: all(run.state.is_final() for run in runs(client, "partition")), 120, every=1
            )
            services.wait("their processes'", lambda: not processes("prefect.engine", tmp_path), 120)


def test_a_retrain_survives_its_server_and_its_database(tmp_path):
    """SIGKILL of the server under a training, and PostgreSQL stopped; both are back before runs count as dead."""
    long = ("epochs = 2", "epochs = 300\npatience = 300")
    config = lab(tmp_path / "lab", 1, long, ("chunk_size = 2", "chunk_size = 16"))
    config.write_text(config.read_text().replace("dead_after_seconds = 45", "dead_after_seconds = 300"))
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        running.bigfusion("deploy", "--config", str(config), "--name", "lab")
        with prefect_api(running) as client:
            deployment = client.read_deployment_by_name("retrain/lab")
            retrain = client.create_flow_run_from_deployment(deployment.id)
            running.worker("works", limit=2)
            checkpoint = "lab/work/runs/*/seed-0/resume.safetensors"
            services.wait("the training", lambda: list(tmp_path.glob(checkpoint)), 600)
            services.kill(running.server, signal.SIGKILL)
            running.start_server()
            services.kill(running.database, signal.SIGQUIT)  # "immediate": as when its machine is switched off
            running.database.wait(60)
            running.start_postgres()
            services.wait("the retrain's end", lambda: finished(client, retrain), 600, every=1)
            assert state_of(client, retrain).is_completed(), state_of(client, retrain).message
            for flow in ("retrain", "extract", "partition", "train", "evaluate"):
                assert [run.state.type.value for run in runs(client, flow)] == ["COMPLETED"] * len(runs(client, flow))


def processes(word, folder):
    """Processes with ``word`` in their command line that were started with ``folder`` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            if word.encode() in words and f"PREFECT_HOME={folder}".encode() in environment:
                found.append(process.name)
    return found
