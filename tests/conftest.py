"""What all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling

from tests.helpers.s3_server import CREDENTIALS, Server, server

# A busy machine is no fault of the code: no deadline. The same examples everywhere, so that a change is judged by its
# own faults; `make test-random` draws new ones.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, max_examples=500, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """One S3 server for all tests; each makes buckets of its own."""
    pytest.importorskip("moto")
    with server() as running:
        yield running


@pytest.fixture
def s3(s3_server: Server, monkeypatch) -> Server:
    """The S3 server, and its credentials in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_server


class Shares(LoadFileScheduling):
    """A file's tests run in one process. Those of tests/flows share a server and a project: they come in two shares."""

    def _split_scope(self, nodeid: str) -> str:
        for share in ("tests/flows/project", "tests/flows"):
            if nodeid.startswith(f"{share}/"):
                return share
        return super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Shares:
    """What each process of ``--numprocesses`` gets; the largest share is handed out first."""
    return Shares(config, log)
