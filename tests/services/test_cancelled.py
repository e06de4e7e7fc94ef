"""A retrain that is cancelled, on real services."""

from contextlib import suppress
from pathlib import Path

import pytest
from prefect.states import Cancelling

from tests.helpers import services
from tests.helpers.lab import in_the_middle, lab, prefect_api, runs, state_of

pytestmark = [pytest.mark.services, pytest.mark.slow, *services.NEEDED]


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


def processes(word, folder):
    """Processes with ``word`` in their command line that were started with ``folder`` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            if word.encode() in words and f"PREFECT_HOME={folder}".encode() in environment:
                found.append(process.name)
    return found
