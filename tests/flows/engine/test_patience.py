"""Calls to a server that is away, and the slot of a GPU that is asked of it."""

from contextlib import contextmanager

import httpx
import pytest
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError

from bigfusion.flows.engine import patience, slot


def test_a_refusal_is_not_asked_again():
    asked = []

    def refused():
        asked.append(1)
        request = httpx.Request("GET", "http://server/api")
        raise httpx.HTTPStatusError("409", request=request, response=httpx.Response(409, request=request))

    with pytest.raises(httpx.HTTPStatusError):
        patience.patiently(refused)
    assert len(asked) == 1


def test_patience_ends(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", slept.append)
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(slept))

    def away():
        raise httpx.ConnectError("nobody there")

    with pytest.raises(httpx.ConnectError):
        patience.patiently(away, patience=200)
    assert slept == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_server_that_is_away_when_a_training_begins_is_asked_again(monkeypatch):
    """Prefect's client gives up at once where it has never been answered, and says so by an error of its own."""
    happened = []

    @contextmanager
    def concurrency(name, **_):
        if happened.count("away") < 2:
            happened.append("away")
            raise ConcurrencySlotAcquisitionError("Unable to acquire") from httpx.ConnectError("nobody there")
        happened.append(name)
        yield
        happened.append("given back")

    monkeypatch.setattr(slot, "concurrency", concurrency)
    monkeypatch.setattr(patience.time, "sleep", happened.append)
    with slot.gpu_slot():
        happened.append("trained")
    assert happened == ["away", 1, "away", 2, "gpu", "trained", "given back"]


def test_what_a_training_raises_is_not_asked_of_the_server_again(monkeypatch):
    @contextmanager
    def concurrency(name, **_):
        yield

    monkeypatch.setattr(slot, "concurrency", concurrency)
    with pytest.raises(httpx.ConnectError), slot.gpu_slot():
        raise httpx.ConnectError("the training's own")
