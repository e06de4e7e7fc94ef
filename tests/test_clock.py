"""A wall clock that jumps by a day, forwards and back, in the middle of runs and between them. Real processes."""

import json
import time

import pandas as pd
import pytest

from bigfusion.flows.project.load import load
from tests.helpers.calm_run import calm_run, extracted
from tests.helpers.lab import talk
from tests.helpers.processes import Project, ended
from tests.helpers.wall_clock import COMPILER, DAY, WallClock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler, for a clock that jumps (apt-get install gcc)"),
]
TURNS = 4
LONG = ("epochs = 2", "epochs = 40\npatience = 40")


def test_a_clock_that_jumps_by_a_day_in_a_run_and_between_runs(tmp_path):
    clock = WallClock(tmp_path)
    project = Project(talk(tmp_path / "one", 0, TURNS, LONG), clock.environment)
    calm = calm_run(project.config, tmp_path / "calm")

    # In a run: ahead while it extracts, behind while it trains.
    process = project.start("run")
    project.wait("store/text/text-*.parquet", process, 3)
    clock.set(DAY)
    project.wait("runs/*/seed-0/resume.safetensors", process)
    clock.set(-DAY)
    begun = time.monotonic()
    ended(process)
    assert time.monotonic() - begun < 300
    assert json.loads(project.run("plan", "--json"))["pending_cells"] == 0
    assert json.loads(project.run("store", "info", "--json"))["duplicates"] == 0
    (predictions,) = project.predictions()
    pd.testing.assert_frame_equal(predictions, pd.read_parquet(calm / "predictions.parquet"))

    # Between runs: what is finished stays finished, and gc a day later removes nothing that is needed.
    before = project.shards()
    for ahead in (DAY, -DAY):
        clock.set(ahead)
        project.run("run")
        project.run("gc", "--apply")
        assert project.shards() == before
    assert len(list(project.work.glob("runs/*"))) == 1

    # A later run by a clock that was set back is later all the same.
    (first,) = project.work.glob("runs/*/run.json")
    made = json.loads(first.read_bytes())["created"]
    clock.set(-3 * DAY)
    longer = project.config.read_text().replace("epochs = 40", "epochs = 41")
    project.config.write_text(longer + "[promote]\nmargin = 1\n")
    project.run("run")
    register = json.loads((project.work / "current.json").read_bytes())
    assert [decision["decision"] for decision in register["decisions"]] == ["promoted", "promoted"]
    (second,) = set(project.work.glob("runs/*/run.json")) - {first}
    assert register["current"] == second.parent.name
    assert json.loads(second.read_bytes())["created"] < made
    told = json.loads(project.run("rollback", "--json"))
    assert told["run"] == first.parent.name


def test_gc_of_a_machine_that_is_two_days_ahead_stops_no_run(tmp_path):
    """Two projects on one store: the one removes what it does not need, again and again, while the other extracts."""
    clock = WallClock(tmp_path)
    shared = ("[extract]", f'[workspace]\nstore = "{tmp_path / "store"}"\n[extract]')
    computes = Project(talk(tmp_path / "computes", 0, TURNS, shared))
    collects = Project(talk(tmp_path / "collects", 1, 2, shared), clock.environment)
    extracted(load(collects.config))
    clock.set(2 * DAY)
    process, collected = computes.start("run"), 0
    while process.poll() is None:
        collects.run("gc", "--apply")
        collected += 1
        time.sleep(1)  # the other has the processor meanwhile
    ended(process)
    assert collected > 1
    for project, code in ((computes, 0), (collects, 2)):  # the other has a training to do
        assert json.loads(project.run("plan", "--json", code=code))["pending_cells"] == 0
        project.run("fsck")
