import fcntl
import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bigfusion.flows.engine import configuration
from bigfusion.flows.engine.server import temporary_server
from tests.helpers.small_project import CONFIG, Place

os.environ.setdefault(configuration.STARTUP, "180")
configuration.set_defaults()  # before Prefect is imported


server = ExitStack()


@pytest.fixture(scope="session", autouse=True)
def prefect(tmp_path_factory):
    """A server as `bigfusion run` starts one. This process alone knows it, and not those that tests start."""
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with server:
        url = server.enter_context(temporary_server(tmp_path_factory.mktemp("prefect")))
        for name in ("PREFECT_API_URL", "PREFECT_SERVER_EPHEMERAL_ENABLED"):
            del os.environ[name]
        server.enter_context(temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        yield


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The server ends with the last test here: it would take a thirtieth of a core while others run."""
    if nextitem is not None and not nextitem.nodeid.startswith("tests/flows/"):
        server.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory, prefect, demo_corpus) -> Place:
    """The whole road on a small demo corpus with every kind of bad media, once for all tests. Not to be changed.

    Of several processes (``--numprocesses``) the first goes that road, and the others copy what it made.
    """
    place = Place(tmp_path_factory.mktemp("finished"))
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return run_through(place, demo_corpus.folder)
    common = tmp_path_factory.getbasetemp().parent / "finished"
    with common.with_name("finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not common.exists():
            shutil.copytree(run_through(place, demo_corpus.folder).folder, common.with_name("finished.part"))
            common.with_name("finished.part").rename(common)
            return place
    shutil.copytree(common, place.folder, dirs_exist_ok=True)
    return place


def run_through(place: Place, corpus: Path) -> Place:
    """The project, made and run. What it left on the server of this process lies beside it in ``artifacts.json``."""
    from prefect.client.orchestration import get_client

    shutil.copytree(corpus, place.corpus)
    place.config.write_text(CONFIG)
    assert place.run("run") == 0
    with get_client(sync_client=True) as client:
        left = {artifact.key: artifact.data for artifact in client.read_artifacts() if artifact.key}
    (place.folder / "artifacts.json").write_text(json.dumps(left))
    return place


@pytest.fixture
def place(finished, tmp_path, capsys) -> Place:
    """A copy of the finished project, elsewhere, to be changed."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    capsys.readouterr()
    return replace(finished, folder=tmp_path / "copy", capsys=capsys)
