"""What the tests of the store share."""

import uuid

import pytest

from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.store.store import Store
from tests.helpers.s3_server import Server
from tests.helpers.toy_extraction import run
from tests.helpers.toy_store import cell, content, origin


@pytest.fixture
def store(tmp_path) -> Store:
    """Nine shards of two cells each, from three runs, one failure among them."""
    store = Store(tmp_path)
    for n in range(9):
        second = cell(f"b{n}", status=Status.SILENT, reason="flat") if n == 4 else cell(f"b{n}", (n, 1, 1))
        store.commit(origin(run=f"r{n % 3}", created=f"2026-01-0{n + 1}"), [cell(f"a{n}", (n, 0, 0)), second])
    return store


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> dict[str, tuple]:
    """What an uninterrupted toy extraction leaves. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    run(folder)
    return content(Store(folder))


@pytest.fixture
def url(s3: Server) -> str:
    """The address of an empty store in a bucket."""
    return s3.new(f"b{uuid.uuid4().hex[:12]}")
