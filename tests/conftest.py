"""What all tests share."""

from __future__ import annotations

import fcntl
import gc
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler.loadfile import LoadFileScheduling

from bigfusion.flows.garbage import collect_all_rarely
from tests.helpers.s3_server import CREDENTIALS, Server, server

if TYPE_CHECKING:
    from bigfusion.pipeline.demo.build import Built

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


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The demo's corpus, two dialogues of each split with every spoilt clip. Tests only read it.

    To encode its clips takes nine seconds: one process does, and others (``--numprocesses``) wait for it.
    """
    from bigfusion.pipeline.demo.build import Built, build
    from bigfusion.pipeline.schema import Status

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    built = folder / "demo-corpus.json"
    with built.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            made = build(folder / "demo-corpus", dialogues=2)
            built.write_text(json.dumps([made.utterances, made.made, dict(made.expected)]))
    utterances, made, expected = json.loads(built.read_text())
    return Built(folder / "demo-corpus", utterances, made, {name: Status(status) for name, status in expected.items()})


LONGEST = ("tests/services", "tests/flows", "tests/test_")
"""What takes longest, the longest first: these tests wait for servers and for whole runs."""

SLOW = 40
"""A slow test takes as long as so many others."""


def share_of(nodeid: str, expression: str) -> str:
    """What runs in one process, of the tests that ``expression`` (``-m``) takes.

    A file's tests; all of tests/flows, which share a server and a finished project. The slow ones there are too many
    for one process: a folder's.
    """
    file = nodeid.split("::", maxsplit=1)[0]
    if not file.startswith("tests/flows/"):
        return file
    return "tests/flows" if "not slow" in expression else file.rpartition("/")[0]


class Shares(LoadFileScheduling):
    """What each process of ``--numprocesses`` gets, share by share."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid, self.config.option.markexpr)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> Shares:
    """The order of the shares is that of the tests."""
    config.option.loadscopereorder = False
    return Shares(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What waits longest comes first, then the share that takes longest: nothing long is left for the end."""
    shares = {item: share_of(item.nodeid, config.option.markexpr) for item in items}
    sizes = Counter[str]()
    for item, share in shares.items():
        sizes[share] += 1 if item.get_closest_marker("slow") is None else SLOW

    def place(item: pytest.Item) -> tuple[bool | int, ...]:
        waits = [item.nodeid.startswith(folder) for folder in LONGEST]
        return *(not long for long in waits), -sizes[shares[item]]

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What the imports made stays: no full collection, such as some libraries ask for, looks at it again."""
    gc.collect()
    gc.freeze()
