"""One Prefect server under the retrains of three projects at once; it and its database stop in the middle of them."""

import json
import signal
import time
from collections import Counter

import pandas as pd
import pytest

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from tests.helpers import services
from tests.helpers.calm_run import calm_run
from tests.helpers.lab import CHUNK, finished, prefect_api, runs, state_of, talk

pytestmark = [pytest.mark.services, pytest.mark.slow, *services.NEEDED]

NAMES = ("one", "two", "three")
FLOWS = ("retrain", "ingest", "extract", "partition", "train", "evaluate")
TURNS = 4
LONG = (("epochs = 2", "epochs = 60\npatience = 60"),)
UNDER_WAY = 2 * CHUNK
"""Cells that a project's two partitions compute at a time."""


def deployed(running, folder, names, *changes):
    """Projects in a folder, deployed: their settings files by name."""
    configs = {}
    for number, name in enumerate(names):
        configs[name] = talk(folder / name, number, TURNS, *LONG, *changes)
        running.bigfusion("deploy", "--config", str(configs[name]), "--name", name)
    return configs


def started(client, names):
    """A retrain of each project, all at once."""
    found = {}
    for name in names:
        found[name] = client.create_flow_run_from_deployment(client.read_deployment_by_name(f"retrain/{name}").id)
    return found


def extracting(client, retrains, configs):
    """Whether each project has stored something. Fails at once if a retrain has ended already."""
    states = [state_of(client, run) for run in retrains.values()]
    assert not any(state.is_final() for state in states), [state.message for state in states]
    return all(stored(config) for config in configs.values())


def stored(config):
    """The number of shards in a project's store."""
    return len(list(config.parent.glob("work/store/text/text-*.parquet")))


def all_over(client):
    """Every flow run on the server, once none of them is under way; a server that is away says nothing."""
    found = [run for flow in FLOWS for run in runs(client, flow)]
    return found if found and all(run.state.is_final() for run in found) else None


def whole(config, twice):
    """Every cell is stored, at most ``twice`` of them in two shards, and the scores are those of an undisturbed run."""
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    with project.files.store() as store:
        assert store.info()["duplicates"] <= twice
    undisturbed = calm_run(config, config.parent.with_name(f"{config.parent.name}-calm"))
    (disturbed,) = (config.parent / "work/runs").iterdir()
    tables = [pd.read_parquet(run / "predictions.parquet") for run in (disturbed, undisturbed)]
    # Workers pad other utterances together, so features differ by rounding, and sixty epochs make more of it.
    pd.testing.assert_frame_equal(*tables, rtol=0, atol=1e-3)
    scores = [json.loads((run / "metrics.json").read_bytes()) for run in (disturbed, undisturbed)]
    for name in ("weighted_f1", "accuracy", "confusion"):
        assert scores[0][name] == scores[1][name]


def test_three_retrains_survive_a_server_and_a_database_that_are_killed_twice(tmp_path):
    """Once when each has stored cells, once when one trains. They are back at once."""
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        configs = deployed(running, tmp_path, NAMES)
        with prefect_api(running) as client:
            retrains = started(client, configs)
            running.worker("works", limit=9)
            services.wait("cells of all three", lambda: extracting(client, retrains, configs), 600, every=1)
            begun = time.monotonic()
            services.kill(running.server, signal.SIGKILL)
            running.start_server()
            running.switch_off_the_database()
            running.start_postgres()
            print(f"back after {time.monotonic() - begun:.0f} s, shards {[stored(one) for one in configs.values()]}")
            services.wait("a training", lambda: list(tmp_path.glob("*/work/runs/*/seed-0/resume.safetensors")), 600)
            running.switch_off_the_database()
            running.start_postgres()
            services.kill(running.server, signal.SIGKILL)
            running.start_server()
            services.wait(
                "the retrains' end", lambda: all(finished(client, run) for run in retrains.values()), 900, every=1
            )
            services.wait("every run's end", lambda: all_over(client), 120, every=1)
            print(f"over after {time.monotonic() - begun:.0f} s")
            for flow in FLOWS:
                found = [(run.name, run.state.type.value, run.state.message) for run in runs(client, flow)]
                assert [one for one in found if one[1] != "COMPLETED"] == []
            assert [len(runs(client, flow)) for flow in ("retrain", "partition", "train")] == [3, 6, 3]
    for config in configs.values():
        whole(config, twice=0)


def test_after_a_longer_outage_nothing_is_stuck_and_the_next_retrain_takes_up_what_is_left(tmp_path):
    """The server is away for longer than a worker may be silent, from when the first cells are stored."""
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        configs = deployed(running, tmp_path, NAMES[:1], ("dead_after_seconds = 300", "dead_after_seconds = 45"))
        with prefect_api(running) as client:
            retrains = started(client, configs)
            running.worker("works", limit=9)
            services.wait("the first cells", lambda: extracting(client, retrains, configs), 600, every=1)
            services.kill(running.server, signal.SIGKILL)
            time.sleep(100)
            running.start_server()
            services.wait("every run's end", lambda: all_over(client), 900, every=1)
            services.wait("a free workspace", lambda: not any(map(at_work, configs.values())), 600, every=1)
            print(f"after the outage: {told(client)}")
            again = started(client, configs)
            services.wait(
                "the next retrain", lambda: all(finished(client, run) for run in again.values()), 600, every=1
            )
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
