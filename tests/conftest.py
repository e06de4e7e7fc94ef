"""What all tests share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.helpers.s3_server import CREDENTIALS, Server, server

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("patient")


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
