"""What all tests share."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling

from bigfusion.flows.garbage import collect_all_rarely
from tests.helpers.s3_server import CREDENTIALS, Server, server

collect_all_rarely()  # all libraries are imported here, and they stay

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


LONGEST = ("tests/services", "tests/flows", "tests/test_")
"""What takes longest, the longest first: these tests wait for servers and for whole runs."""


def share_of(nodeid: str) -> str:
    """What runs in one process: a file's tests; of tests/flows a folder's, which share a server and a project."""
    file = nodeid.split("::", maxsplit=1)[0]
    return file.rpartition("/")[0] if file.startswith("tests/flows/") else file


class Shares(LoadFileScheduling):
    """What each process of ``--numprocesses`` gets, share by share."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Shares:
    """The order of the shares is that of the tests."""
    config.option.loadscopereorder = False
    return Shares(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits longest comes first, then the largest share: nothing long is left for the end."""
    sizes = Counter(share_of(item.nodeid) for item in items)

    def place(item: pytest.Item) -> tuple[bool | int, ...]:
        waits = [item.nodeid.startswith(folder) for folder in LONGEST]
        return *(not long for long in waits), -sizes[share_of(item.nodeid)]

    items.sort(key=place)
