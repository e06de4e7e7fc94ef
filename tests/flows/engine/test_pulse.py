"""`bigfusion status` reads Prefect's database as Prefect itself does, without importing it."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bigfusion.flows.engine.flow_runs import of_database
from bigfusion.flows.engine.sources import may_name_server

BOTH = """
import asyncio, json, sys
from dataclasses import asdict
from pathlib import Path
from bigfusion.flows.engine import pulse
from bigfusion.flows.engine.flow_runs import of_database
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

@flow(name="extract", flow_run_name="extract lab")
def extract(project):
    raise ValueError("no such file")

@flow(name="retrain", flow_run_name="retrain lab")
def retrain(project):
    extract(project, return_state=True)
    return None

@flow(name="of another project")
def other():
    return None

project = {"workspace": {"path": "/lab/work"}}
retrain(project)
other()
with get_client(sync_client=True) as client:
    client.create_flow_run(retrain, parameters={"project": project}, name="to come", state=Scheduled())
told = asyncio.run(pulse._read())
found = of_database(Path(sys.argv[1]) / "prefect.db", pulse.FLOWS)
print(json.dumps([[asdict(run) for run in runs] for runs in (told, found)], default=str))
"""


def plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


@pytest.mark.slow
def test_the_database_tells_what_the_server_tells(tmp_path):
    settings = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
    done = subprocess.run(
        [sys.executable, "-c", BOTH, str(tmp_path)], env=plain() | settings, capture_output=True, text=True, check=True
    )
    told, found = json.loads(done.stdout.splitlines()[-1])
    assert found == told
    assert [(run["flow"], run["name"], run["state"], run["child"]) for run in found] == [
        ("retrain", "to come", "Scheduled", False),
        ("extract", "extract lab", "Failed", True),
        ("retrain", "retrain lab", "Completed", False),
    ]
    assert "no such file" in found[1]["message"]
    assert {run["workspace"] for run in found} == {"/lab/work"}


def test_a_database_of_another_prefect_is_an_error(tmp_path):
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("create table flow (id, name)")
    with pytest.raises(sqlite3.Error, match="no such table: flow_run"):
        of_database(tmp_path / "prefect.db", ("retrain",))


def asked(folder: Path, **variables: str) -> bool:
    """In a process of its own: Prefect is imported in this one."""
    script = "from bigfusion.flows.engine.sources import may_name_server; print(may_name_server())"
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain() | {"PREFECT_HOME": str(folder / "home")} | variables, cwd=folder,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip() == "True"


def test_prefect_is_asked_for_its_server_only_when_some_place_may_name_one(tmp_path):
    assert may_name_server(), "Prefect is imported here, and knows"
    assert not asked(tmp_path)
    assert asked(tmp_path, PREFECT_API_URL="http://lab:4200/api")
    assert asked(tmp_path, prefect_profile="lab")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["prefect>=3"]\n')
    assert not asked(tmp_path)
    for name, text in {
        "pyproject.toml": "[tool.prefect.api]\n",
        "prefect.toml": "",
        ".env": "prefect_api_url=x\n",
        "home/profiles.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        assert asked(tmp_path), name
        (tmp_path / name).unlink()
