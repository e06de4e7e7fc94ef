"""One Prefect server under the retrains of three projects at once; it and its database stop in the middle of them."""

import signal
import time

import pytest

from tests.helpers import services
from tests.helpers.lab import FLOWS, all_over, deployed, extracting, finished, prefect_api, runs, started, stored, whole

pytestmark = [pytest.mark.services, pytest.mark.slow, *services.NEEDED]

NAMES = ("one", "two", "three")


def test_three_retrains_survive_a_server_and_a_database_that_are_killed_twice(tmp_path):
    """Once when each has stored cells, once when one trains. They are back at once."""
    with services.Services(tmp_path) as running:
        running.prefect_server(running.postgres(), running.redis())
        configs = deployed(running, tmp_path, NAMES, ("partitions = 2", "partitions = 1"))
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
            assert [len(runs(client, flow)) for flow in ("retrain", "partition", "train")] == [3, 3, 3]
    for config in configs.values():
        whole(config, twice=0)
