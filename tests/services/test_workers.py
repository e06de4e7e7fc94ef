"""Production without Docker: PostgreSQL, Redis, a Prefect server on them, and workers that die, stop and wait.

The tests share the server. Each has a project and workers of its own.
"""

import json
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from prefect.states import Cancelling

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from tests.helpers import services
from tests.helpers.lab import (
    CHUNK,
    FLOWS,
    all_over,
    deployed,
    extracting,
    finished,
    in_the_middle,
    lab,
    prefect_api,
    runs,
    started,
    state_of,
    whole,
)

pytestmark = [pytest.mark.services, pytest.mark.slow, *services.NEEDED]

UNDER_WAY = 2 * CHUNK
"""Cells that a project's two partitions compute at a time."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with services.Services(tmp_path_factory.mktemp("production")) as running:
        running.prefect_server(running.postgres(), running.redis())
        yield running


@pytest.fixture
def running(servers):
    yield servers
    servers.end_workers()


def test_a_retrain_on_two_workers_survives_the_death_of_one(running, tmp_path):
    project_folder = tmp_path / "lab"
    config = lab(project_folder, 2)
    running.bigfusion("deploy", "--config", str(config), "--name", "lab")
    with prefect_api(running) as client:
        deployment = client.read_deployment_by_name("retrain/lab")
        retrain = client.create_flow_run_from_deployment(deployment.id)
        # It takes the retrain itself and one partition beside it.
        running.worker("stays", limit=2, PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER="json")
        services.wait("the retrain", lambda: state_of(client, retrain).is_running(), every=1)
        dies = running.worker("dies", limit=1)
        services.wait("a partition in the middle", lambda: in_the_middle(running.folder / "dies.log"), 600)
        services.kill(dies, signal.SIGKILL)
        services.wait("the retrain's end", lambda: state_of(client, retrain).is_final(), 900, every=1)
        state = state_of(client, retrain)
        assert state.is_completed(), state.message
        partitions = runs(client, "partition")
        states = [run.state.type.value for run in partitions]
        assert states.count("CRASHED") == 1
        assert states.count("COMPLETED") == len(states) - 1
        assert "no heartbeat" in next(run.state.message for run in partitions if run.state.is_crashed())
        again = client.create_flow_run_from_deployment(deployment.id)
        services.wait("the second retrain", lambda: state_of(client, again).is_final(), 600, every=1)
        assert state_of(client, again).is_completed()
        assert len(runs(client, "partition")) == len(partitions), "nothing was to do"
        for flow in ("retrain", "ingest", "extract", "train", "evaluate"):
            assert all(run.state.is_completed() for run in runs(client, flow)), f"{flow}: the dead worker's run alone"
    told = json.loads(running.bigfusion("status", "--json", "--config", str(config)))
    assert {run["state"] for run in told["flow_runs"]} == {"Completed", "Crashed"}
    assert told["working"] is None
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    running.end_workers()
    speaks_json_and_tells_nothing((running.folder / "stays.log").read_text(), corpus.kept(project))
    store = project.files.store()
    assert store.info()["duplicates"] <= CHUNK, "computed twice: at most the chunk that was under way"
    store.close()
    register = json.loads((project_folder / "work/current.json").read_text())
    assert [decision["decision"] for decision in register["decisions"]] == ["promoted"]


def speaks_json_and_tells_nothing(log, manifest):
    """A worker's log: one object a line, our own lines among them, no transcript and no media path."""
    lines = [line for line in log.splitlines() if not line.startswith(("Worker 'stays' ", "Received SIG"))]
    ours = [event for event in map(json.loads, lines) if event["name"] == "bigfusion"]
    said = {event["msg"] % tuple(event["args"] or ()) for event in ours}
    assert any(line.startswith("partition: ") for line in said)
    assert any(line.startswith("promote: ") for line in said)
    assert ".mp4" not in log
    assert not [text for text in manifest.table["text"] if len(text) > 12 and text in log]


def test_a_cancelled_retrain_leaves_nothing_behind(running, tmp_path):
    """Cancelled in the middle of a partition: no run and no process of it goes on."""
    config = lab(tmp_path / "lab", 1)
    running.bigfusion("deploy", "--config", str(config), "--name", "cancelled")
    with prefect_api(running) as client:
        deployment = client.read_deployment_by_name("retrain/cancelled")
        retrain = client.create_flow_run_from_deployment(deployment.id)
        running.worker("works", limit=2)
        services.wait("a partition in the middle", lambda: in_the_middle(running.folder / "works.log"), 600)
        client.set_flow_run_state(retrain.id, Cancelling(), force=True)
        services.wait("the end", lambda: state_of(client, retrain).is_final(), 120, every=1)
        assert state_of(client, retrain).is_cancelled()
        services.wait(
            "its parts'", lambda: all(run.state.is_final() for run in runs(client, "partition")), 120, every=1
        )
        services.wait("their processes'", lambda: not processes("prefect.engine", running.folder), 120)


def processes(word, folder):
    """Processes with ``word`` in their command line that were started with ``folder`` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            if word.encode() in words and f"PREFECT_HOME={folder}".encode() in environment:
                found.append(process.name)
    return found


def test_after_a_longer_outage_nothing_is_stuck_and_the_next_retrain_takes_up_what_is_left(running, tmp_path):
    """The server is away for longer than a worker may be silent, from when the first cells are stored."""
    configs = deployed(running, tmp_path, ["outage"], ("dead_after_seconds = 300", "dead_after_seconds = 45"))
    with prefect_api(running) as client:
        retrains = started(client, configs)
        running.worker("patient", limit=9)
        services.wait("the first cells", lambda: extracting(client, retrains, configs), 600, every=1)
        services.kill(running.server, signal.SIGKILL)
        time.sleep(100)
        running.start_server()
        services.wait("every run's end", lambda: all_over(client), 900, every=1)
        services.wait("a free workspace", lambda: not any(map(at_work, configs.values())), 600, every=1)
        print(f"after the outage: {told(client)}")
        again = started(client, configs)
        services.wait("the next retrain", lambda: all(finished(client, run) for run in again.values()), 600, every=1)
        assert [state_of(client, run).name for run in again.values()] == ["Completed"]
        services.wait("every run's end", lambda: all_over(client), 120, every=1)
        print(f"at the end: {told(client)}")
    for config in configs.values():
        whole(config, twice=UNDER_WAY)


def at_work(config):
    """The process that holds a project's workspace, if any."""
    return load(config).files.holder()


def told(client):
    """How many runs of each flow ended in each state."""
    return dict(Counter((flow, run.state.name) for flow in FLOWS for run in runs(client, flow)))
