"""A plan in which nothing changed, at a tenth of the size of tests/benchmarks/bench_plan.py, which prints the whole."""

import pytest

from tests.benchmarks.bench_plan import fill, made, measured, project

UTTERANCES = 100_000


@pytest.mark.slow
def test_three_hundred_thousand_unchanged_cells_are_planned_at_once(tmp_path):
    """Processor time and memory of a fresh process, its start and imports among them: a busy machine is no fault."""
    mine = project(tmp_path)
    manifest = made(UTTERANCES)
    manifest.write(mine.files.manifest)
    fill(mine, manifest)
    first, again = measured(tmp_path), measured(tmp_path)
    assert (again["cells"], again["pending"], again["run"]) == (3 * UTTERANCES, 0, first["run"])
    assert again["cpu"] < 5
    assert again["MiB"] < 600
