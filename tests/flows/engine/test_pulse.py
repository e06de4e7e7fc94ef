"""`bigfusion status` reads Prefect's database as Prefect itself does, without importing it."""

import json
import os
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from bigfusion.flows.engine.flow_runs import of_database
from bigfusion.flows.engine.server import free_port
from bigfusion.flows.engine.sources import may_name_server
from bigfusion.flows.project.load import load
from tests.helpers.small_project import Place

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


SCHEDULED = """
import sys
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Scheduled

@flow(name="retrain")
def retrain(project):
    return None

with get_client(sync_client=True) as client:
    project = {"workspace": {"path": sys.argv[1]}}
    client.create_flow_run(retrain, parameters={"project": project}, name="retrain lab", state=Scheduled())
"""


@pytest.fixture
def guarded(tmp_path):
    """A Prefect server that asks for a password, its pages unpacked outside the package: its address."""
    port = free_port()
    settings = {
        "PREFECT_HOME": str(tmp_path / "server"),
        "PREFECT_SERVER_API_AUTH_STRING": "admin:pass",
        "PREFECT_UI_STATIC_DIRECTORY": str(tmp_path / "server/ui"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    logged = tmp_path / "server.log"
    with logged.open("wb") as log:
        server = subprocess.Popen(command, env=plain() | settings, stdout=log, stderr=log)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"{url}/api/health", timeout=5):
                    break
            except OSError:
                assert server.poll() is None, logged.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(30)
        finally:
            server.kill()


@pytest.mark.slow
def test_a_server_with_a_password_tells_its_runs_to_those_who_have_it(guarded, tmp_path, place: Place):
    """As in docker/compose.yaml, whose server is told to unpack its pages where its user may write."""
    with urllib.request.urlopen(f"{guarded}/", timeout=30) as page:
        assert b"<html" in page.read().lower()
    assert sorted(path.name for path in (tmp_path / "server/ui").glob("v*")) == ["v1", "v2"]

    knows = plain() | {"PREFECT_API_URL": f"{guarded}/api", "PREFECT_API_AUTH_STRING": "admin:pass"}
    workspace = load(place.config).files.folder
    subprocess.run([sys.executable, "-c", SCHEDULED, str(workspace)], env=knows, capture_output=True, check=True)

    def status(environment: dict[str, str]) -> tuple[list[str], str]:
        command = [sys.executable, "-m", "bigfusion.flows.cli", "status", "--json", "--config", str(place.config)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
        return [run["run"] for run in json.loads(ran.stdout)["flow_runs"]], ran.stderr

    assert status(knows) == (["retrain lab"], "")
    found, said = status(knows | {"PREFECT_API_AUTH_STRING": "admin:guessed"})
    assert found == []
    assert "401" in said


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
