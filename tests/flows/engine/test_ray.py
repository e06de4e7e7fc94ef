"""``--runner ray`` on a local cluster of several processes: the same cells as here, each computed once."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from bigfusion.pipeline.schema import Modality
from tests.helpers.small_project import Place

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("prefect_ray") is None, reason="needs bigfusion[ray]")
def test_ray_computes_the_same_cells(place: Place):
    project = load(place.config)
    manifest = corpus.kept(project)
    wanted = cells.plan(project, manifest).fingerprints(Modality.TEXT)
    before = project.files.store().read(Modality.TEXT, wanted)
    shutil.rmtree(place.folder / "work/store/text")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    command = [sys.executable, "-m", "bigfusion.flows.cli", "extract", "--runner", "ray", "--config", str(place.config)]
    ran = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr
    store = project.files.store()
    after = store.read(Modality.TEXT, wanted)
    assert (after.present == before.present).all()
    assert abs(after.values - before.values).max() < 1e-5
    assert store.info()["duplicates"] == 0
