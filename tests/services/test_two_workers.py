"""Production without Docker: PostgreSQL, Redis, a Prefect server on them, two workers, and one of them killed."""

import importlib.util
import json
import re
import signal
from contextlib import contextmanager

import pytest
import services
from small_project import CONFIG

from flows import cells, corpus
from flows.project import load
from pipeline.demo.build import build

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.skipif(bool(services.missing()), reason=f"not installed here: {services.missing()} (apt-get install)"),
    pytest.mark.skipif(importlib.util.find_spec("prefect_redis") is None, reason="needs bigfusion[production]"),
]
CHUNK = 2


@contextmanager
def prefect_api(running):
    """A client of the test's own server, not of the session's harness."""
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(running.environment["PREFECT_API_URL"]) as client:
        yield client


def state_of(client, run):
    """A run's state now."""
    return client.read_flow_run(run.id).state


def runs(client, flow):
    """All runs of a flow, oldest first."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    wanted = FlowFilter(name=FlowFilterName(any_=[flow]))
    return client.read_flow_runs(flow_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=200)


def test_a_retrain_on_two_workers_survives_the_death_of_one(tmp_path):
    project_folder = tmp_path / "lab"
    project_folder.mkdir()
    build(project_folder / "MELD.Raw", dialogues=2)
    config = project_folder / "bigfusion.toml"
    small = CONFIG.replace(', "visual"', "").replace("chunk_size = 16", f"chunk_size = {CHUNK}")
    runner = "[runner]\npartitions = 2\ndead_after_seconds = 45\n"
    config.write_text(small.replace("seeds = [0, 1]", "seeds = [0]") + runner)
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        running.bigfusion("deploy", "--config", str(config), "--name", "lab")
        with prefect_api(running) as client:
            deployment = client.read_deployment_by_name("retrain/lab")
            retrain = client.create_flow_run_from_deployment(deployment.id)
            running.worker("stays", limit=2)  # the retrain itself, and one partition beside it
            services.wait("the retrain", lambda: state_of(client, retrain).is_running())
            dies = running.worker("dies", limit=1)

            def in_the_middle():
                """Whether the worker that is to die has stored some chunks of a partition and has others to do."""
                chunks = re.findall(r"Task run '\w+ (\d+)/(\d+)' - Finished", (tmp_path / "dies.log").read_text())
                return chunks and int(chunks[-1][0]) < int(chunks[-1][1]) - 1

            services.wait("a partition in the middle", in_the_middle, 600)
            services.kill(dies, signal.SIGKILL)
            services.wait("the retrain's end", lambda: state_of(client, retrain).is_final(), 900)
            state = state_of(client, retrain)
            assert state.is_completed(), state.message
            partitions = runs(client, "partition")
            states = [run.state.type.value for run in partitions]
            assert states.count("CRASHED") == 1
            assert states.count("COMPLETED") == len(states) - 1
            assert "no heartbeat" in next(run.state.message for run in partitions if run.state.is_crashed())
            again = client.create_flow_run_from_deployment(deployment.id)
            services.wait("the second retrain", lambda: state_of(client, again).is_final(), 600)
            assert state_of(client, again).is_completed()
            assert len(runs(client, "partition")) == len(partitions), "nothing was to do"
            for flow in ("retrain", "ingest", "extract", "train", "evaluate"):
                assert all(run.state.is_completed() for run in runs(client, flow)), (
                    f"{flow}: the dead worker's run alone"
                )
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    store = cells.Workspace(project).store()
    assert store.info()["duplicates"] <= CHUNK, "computed twice: at most the chunk that was under way"
    store.close()
    register = json.loads((project_folder / "work/current.json").read_text())
    assert [decision["decision"] for decision in register["decisions"]] == ["promoted"]
