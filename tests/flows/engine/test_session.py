"""What is tidied of Prefect, and above all what is left alone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from bigfusion.flows.engine import database, deployments, home, server, session
from bigfusion.flows.engine.configuration import SLOT
from bigfusion.flows.project.load import load
from bigfusion.pipeline.errors import SettingsError
from tests.helpers.services import NO_BLOCKS

SLEEP = "import time; time.sleep(120)"
APP = "prefect.server.api.server:create_app"


@pytest.fixture
def started():
    """Starts a sleeping process with these words in its command line and this PREFECT_HOME."""
    processes = []

    def start(home, *words: str) -> subprocess.Popen:
        environment = {**os.environ, "PREFECT_HOME": str(home)}
        processes.append(subprocess.Popen([sys.executable, "-c", SLEEP, *words], env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_only_servers_on_exactly_this_home_are_ended(tmp_path, started):
    mine = tmp_path / "prefect"
    orphans = [started(mine, APP), started(mine, "/usr/bin/prefect", "server", "start", "--port", "4200")]
    others = [
        started(tmp_path / "prefect-of-another", APP),
        started(mine, "prefect", "worker", "start"),
        started(mine, "my-notes-on-prefect.txt"),
    ]
    time.sleep(1)  # until each is the command that it is to be
    home.end_orphaned_servers(mine)
    assert [orphan.wait(30) for orphan in orphans] == [-15, -15]
    assert [other.poll() for other in others] == [None, None, None]


def test_runs_are_only_ended_on_a_database_of_our_own():
    assert session.end_abandoned_runs() == 0  # nobody is asked: there is no server here, nor a flow


def test_a_server_of_the_users_profile_is_found_and_left_alone(tmp_path):
    (tmp_path / "profiles.toml").write_text('active = "lab"\n[profiles.lab]\nPREFECT_API_URL = "http://lab:4200/api"\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    code = "from bigfusion.flows.engine import configuration as c; c.set_defaults(); print(c.server_url())"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"PREFECT_HOME": str(tmp_path)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "http://lab:4200/api"


def test_settings_reach_prefect_after_it_has_read_its_own(tmp_path):
    """The user has a profile that names no server."""
    (tmp_path / "before").mkdir()
    (tmp_path / "before/profiles.toml").write_text('active = "lab"\n[profiles.lab]\n')
    code = (
        "from bigfusion.flows.engine import configuration as c; c.set_defaults(); print(c.server_url());"
        "c.configure(PREFECT_HOME=r'{}');"
        "from prefect.settings import get_current_settings; print(get_current_settings().home)"
    ).format(tmp_path / "mine")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path / "before")
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["None", str(tmp_path / "mine")]


def test_a_settings_file_may_be_named_by_text(tmp_path):
    (tmp_path / "bigfusion.toml").write_text('preset = "meld"\n')
    assert load(str(tmp_path / "bigfusion.toml")) == load(tmp_path / "bigfusion.toml")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Healthy(BaseHTTPRequestHandler):
    """A server that is well."""

    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_server_that_still_starts_is_waited_for():
    """As the production page's block starts one and deploys at once."""
    port = free_port()

    def later():
        time.sleep(1.5)
        with HTTPServer(("127.0.0.1", port), Healthy) as server:
            server.handle_request()

    starting = threading.Thread(target=later)
    starting.start()
    server.await_server(f"http://127.0.0.1:{port}/api", 30)
    starting.join()


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:{free_port()}/api", "http://nobody.invalid:4200/api", "four"],
    ids=["refused", "unknown", "malformed"],
)
def test_a_server_that_is_not_there_is_one_line(url):
    with pytest.raises(SettingsError, match="expected") as error:
        server.await_server(url, 0.5)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_status_says_that_the_server_does_not_answer(tmp_path):
    (tmp_path / "bigfusion.toml").write_text('preset = "demo"\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_API_URL"] = f"http://127.0.0.1:{free_port()}/api"
    command = [sys.executable, "-m", "bigfusion.flows.cli", "status", "--config", str(tmp_path / "bigfusion.toml")]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "no answer of Prefect's server" in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "working    no command" in shown.stdout


def test_anothers_server_on_the_port_is_not_taken_for_our_own(tmp_path):
    (tmp_path / "bigfusion.toml").write_text('preset = "demo"\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path / "home")
    with HTTPServer(("127.0.0.1", 0), Healthy) as other:
        command = [
            sys.executable,
            "-m",
            "bigfusion.flows.cli",
            "serve",
            "--port",
            str(other.server_port),
            "--cron",
            "0 3 * * *",
        ]
        shown = subprocess.run(
            command, cwd=tmp_path, env=environment | {"PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True,
            timeout=100, check=False,
        )  # fmt: skip
    assert shown.returncode == 1
    assert f"port {other.server_port}: expected a free one" in shown.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_temporary_server_that_does_not_come_up_in_time_is_one_line(tmp_path):
    code = (
        "from bigfusion.flows.engine import session\n"
        "from bigfusion.flows.project.load import load\n"
        f"with session.prefect(load(None, 'demo', [r'workspace.path={tmp_path}']).files):\n"
        "    from prefect import flow\n"
        "    flow(lambda: 1, name='one')()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "1", "PREFECT_HOME": str(tmp_path)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    last = shown.stderr.strip().splitlines()[-1]
    assert "expected Prefect's server within 1 s" in last
    assert last.endswith("on a busy machine with PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS=600")


def test_a_setting_that_prefect_refuses_is_one_line(tmp_path):
    code = "from bigfusion.flows.engine import configuration as c; c.set_defaults(); c.server_url()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_HOME": str(tmp_path), "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "often"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    last = shown.stderr.strip().splitlines()[-1]
    assert last.startswith("bigfusion.pipeline.errors.SettingsError: Prefect's setting")
    assert "heartbeat_frequency" in last
    assert "found 'often'" in last


SLOT_LEFT = """
from pathlib import Path
import sys
from bigfusion.flows.engine import session
from bigfusion.flows.project.workspace import Workspace, WorkspaceSettings
with session.prefect(Workspace(WorkspaceSettings(path=Path(sys.argv[1])))):
    from prefect.client.orchestration import get_client
    from bigfusion.flows.engine.configuration import SLOT
    from bigfusion.flows.engine.deployments import set_slots
    from prefect.concurrency.sync import concurrency
    import os, signal
    with get_client(sync_client=True) as client:
        set_slots(client, 0)
        print(client.read_global_concurrency_limit_by_name(SLOT).active_slots, flush=True)
    with concurrency(SLOT, timeout_seconds=20):
        with get_client(sync_client=True) as client:
            print(client.read_global_concurrency_limit_by_name(SLOT).active_slots, flush=True)
        if len(sys.argv) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_the_slot_of_a_killed_training_is_free_again(tmp_path):
    """Its server kept the lease in memory; the database still counts the slot as taken, and nobody would free it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}

    def command(*more: str) -> subprocess.CompletedProcess:
        words = [sys.executable, "-c", SLOT_LEFT, str(tmp_path / "work"), *more]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=200)

    killed = command("killed")
    assert (killed.returncode, killed.stdout.split()) == (-9, ["0", "1"])
    again = command()
    assert (again.returncode, again.stdout.split()) == (0, ["0", "1"]), again.stderr


@contextmanager
def lasting(folder: Path, port: int, *settings: str):
    """A user's own server on a database in a folder, killed at the end as if its machine stopped.

    It looks for leases that have run out every second (Prefect's default: 15).
    """
    database.lay(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "1"}
    environment |= NO_BLOCKS | {"PREFECT_HOME": str(folder), **dict(setting.split("=", 1) for setting in settings)}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        server.await_server(f"http://127.0.0.1:{port}/api", 300)
        with SyncPrefectClient(f"http://127.0.0.1:{port}/api") as client:
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(), (deployments.LEASES_ON_DISK,)], ids=["in memory", "on disk"])
def test_deploys_warning_tells_servers_that_keep_a_slot_for_ever_from_others(tmp_path, settings):
    """A slot is taken for a minute, and both its holder and the server are killed.

    What is in memory only is never free again: half a minute after the lease has run out it still is not.
    """
    port, patience = free_port(), 150 if settings else 90
    with lasting(tmp_path, port, *settings) as client:
        deployments.set_slots(client, 1)
        assert deployments._leases_in_memory(client) == (not settings)
        client.increment_concurrency_slots_with_lease([SLOT], 1, "concurrency", 60)
        assert client.read_global_concurrency_limit_by_name(SLOT).active_slots == 1
    with lasting(tmp_path, port, *settings) as client:
        deadline = time.monotonic() + patience
        while client.read_global_concurrency_limit_by_name(SLOT).active_slots and time.monotonic() < deadline:
            time.sleep(1)
        assert client.read_global_concurrency_limit_by_name(SLOT).active_slots == (not settings)
