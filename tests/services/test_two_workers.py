"""Production without Docker: PostgreSQL, Redis, a Prefect server on them, two workers, and one of them killed."""

import json
import signal

import pytest

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from tests.helpers import services
from tests.helpers.lab import CHUNK, in_the_middle, lab, prefect_api, runs, state_of

pytestmark = [pytest.mark.services, pytest.mark.slow, *services.NEEDED]


def test_a_retrain_on_two_workers_survives_the_death_of_one(tmp_path):
    project_folder = tmp_path / "lab"
    config = lab(project_folder, 2)
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        running.bigfusion("deploy", "--config", str(config), "--name", "lab")
        with prefect_api(running) as client:
            deployment = client.read_deployment_by_name("retrain/lab")
            retrain = client.create_flow_run_from_deployment(deployment.id)
            # It takes the retrain itself and one partition beside it.
            running.worker("stays", limit=2, PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER="json")
            services.wait("the retrain", lambda: state_of(client, retrain).is_running(), every=1)
            dies = running.worker("dies", limit=1)
            services.wait("a partition in the middle", lambda: in_the_middle(tmp_path / "dies.log"), 600)
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
                assert all(run.state.is_completed() for run in runs(client, flow)), (
                    f"{flow}: the dead worker's run alone"
                )
        told = json.loads(running.bigfusion("status", "--json", "--config", str(config)))
        assert {run["state"] for run in told["flow_runs"]} == {"Completed", "Crashed"}
        assert told["working"] is None
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    speaks_json_and_tells_nothing((tmp_path / "stays.log").read_text(), corpus.kept(project))
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
