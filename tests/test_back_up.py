"""Back-up and restore, by the very lines of docs/production.md."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.shards import decode
from tests.helpers.release_workspace import CONFIG, FOLDER

ROOT = Path(__file__).parents[1]
CHUNK = 4


def lines() -> str:
    """The commands that back up."""
    page = (ROOT / "docs/production.md").read_text()
    section = page.partition("## Back up and restore")[2]
    return re.findall(r"^```\n(.*?)^```", section, re.M | re.S)[0]


def back_up(project: Path, to: Path) -> None:
    environment = os.environ | {"to": str(to)}
    done = subprocess.run(["bash", "-c", f"set -o pipefail\n{lines()}"], cwd=project, env=environment, check=False)
    assert done.returncode in (0, 1), "1: a temporary file went while it was read"


def bigfusion(project: Path, *command: str) -> subprocess.CompletedProcess:
    program = [sys.executable, "-m", "bigfusion.flows.cli", *command, "--config", str(project / "bigfusion.toml")]
    return subprocess.run(program, cwd=project, capture_output=True, text=True, check=False)


def stored(project: Path) -> set[str]:
    """The fingerprints in a project's shards."""
    paths = [*(project / "work/store").rglob("text-*.parquet")]
    return {name for path in paths for name in decode(path.name, path.read_bytes()).fingerprints}


def test_a_finished_workspace_comes_back_as_it_was(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "project")
    back_up(tmp_path / "project", tmp_path / "copy")
    kept = {"index.sqlite", "id"}
    before = {path.relative_to(FOLDER): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
    after = {p.relative_to(tmp_path / "copy"): p.read_bytes() for p in (tmp_path / "copy").rglob("*") if p.is_file()}
    assert after == {path: content for path, content in before.items() if path.name not in kept}


def test_a_seed_under_way_is_not_taken_for_a_finished_one(tmp_path):
    """Its files may be of different epochs. Nothing that would make a training go on from them is in the copy."""
    shutil.copytree(FOLDER, tmp_path / "project")
    (seed,) = (tmp_path / "project/work/runs").glob("*/seed-0")
    (seed / "trained.json").unlink()
    (seed / "resume.safetensors").write_bytes(b"of some epoch")
    (seed / ".history.jsonl.1-2.tmp").write_bytes(b"half")
    back_up(tmp_path / "project", tmp_path / "copy")
    (copied,) = (tmp_path / "copy/work/runs").glob("*/seed-0")
    assert {path.name for path in copied.iterdir()} == {path.name for path in seed.iterdir()} - {
        "resume.safetensors", ".history.jsonl.1-2.tmp",
    }  # fmt: skip


@pytest.mark.slow
def test_a_copy_made_while_a_retrain_runs_passes_fsck_and_lacks_only_what_was_not_stored_yet(tmp_path):
    project, copy = tmp_path / "project", tmp_path / "copy"
    project.mkdir()
    rows = [f"d{n // 4},{n % 4},A,This is the line of number {n}.,joy,train," for n in range(400)]
    table = "\n".join(["dialogue,turn,speaker,text,label,split,media", *rows]) + "\n"
    (project / "utterances.csv").write_text(table)
    (project / "bigfusion.toml").write_text(f"{CONFIG}\n[extract]\nchunk_size = {CHUNK}\n")
    program = [sys.executable, "-m", "bigfusion.flows.cli", "extract", "--config", str(project / "bigfusion.toml")]
    with (tmp_path / "log").open("wb") as log:
        retrain = subprocess.Popen(program, cwd=project, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 600
        while len(stored(project)) < 3 * CHUNK:
            assert retrain.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        before = stored(project)
        back_up(project, copy)
        after = stored(project)
        assert retrain.poll() is None, "it was under way all the time"
    finally:
        retrain.terminate()  # it ends its server, which a killed command leaves to the workspace's next one
        retrain.wait(60)
    assert before <= stored(copy) <= after
    report = fsck(copy / "work/store", copy / "work/index.sqlite")
    assert (report.findings, report.leftovers) == ([], [])
    assert bigfusion(copy, "fsck").returncode == 0
    planned = bigfusion(copy, "plan", "--json")
    assert planned.returncode == 2, planned.stderr
    pending = json.loads(planned.stdout)["cells"]["text"]["new"]
    assert pending == 400 - len(stored(copy))
