"""Hand-outs against a real Prefect server that answers some calls with an inner fault, and errors that may pass."""

import random
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings
from prefect.states import Completed

from bigfusion.flows.engine import artifacts, handout, patience
from bigfusion.flows.stages.chunks import passes
from bigfusion.pipeline.errors import SettingsError, StoreError
from tests.helpers.faulty_server import faulty


@flow(name="handed-out")
def handed_out() -> None:
    """What a worker would run."""


@pytest.fixture
def deployment():
    """The name of a deployment, and a client of the server itself."""
    with get_client(sync_client=True) as client:
        made = client.create_deployment(client.create_flow(handed_out), name="here")
        yield "handed-out/here", client
        client.delete_deployment(made)


def finishing(client, over: threading.Event) -> None:
    """A worker's part: every scheduled run is completed."""
    while not over.is_set():
        for run in client.read_flow_runs():
            if run.deployment_id and not run.state.is_final():
                client.set_flow_run_state(run.id, Completed(), force=True)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but not told"])
def test_a_server_under_load_ends_no_hand_out(deployment, monkeypatch, after):
    """A third of the calls are answered 500; Prefect's own retries are off. Each job runs once all the same."""
    name, client = deployment
    monkeypatch.setattr(handout, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE", 0.1)
    chance = random.Random(0)
    before, over, faults = len(client.read_flow_runs()), threading.Event(), []

    def fails(number: int, path: str) -> bool:
        faults.append(number == 1 or chance.random() < 0.33)
        return faults[-1]

    worker = threading.Thread(target=finishing, args=(client, over))
    worker.start()
    try:
        with (
            faulty(get_current_settings().api.url, fails, after) as url,
            temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}),
        ):
            assert handout.wait_for([handout.Job("one", name, {}), handout.Job("two", name, {})], attempts=1) == []
    finally:
        over.set()
        worker.join()
    assert any(faults)
    assert len(client.read_flow_runs()) - before == 2, "a call that was repeated makes no second run"


def due(client, over: threading.Event) -> None:
    """A worker's part: what is due by its clock is completed, and nothing else is even looked at."""
    while not over.is_set():
        for run in client.read_flow_runs():
            if run.state.is_scheduled() and run.state.state_details.scheduled_time <= datetime.now(UTC):
                client.set_flow_run_state(run.id, Completed(), force=True)
        time.sleep(0.1)


@pytest.mark.slow
def test_a_hand_out_does_not_wait_for_a_day_after_the_clock_was_set_back(deployment, monkeypatch):
    """It was handed out by a clock that was a day ahead, and set right before a worker took it."""
    name, client = deployment
    real, over = handout.run_deployment, threading.Event()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setattr(
        handout, "run_deployment", lambda *given, **named: real(*given, scheduled_time=tomorrow, **named)
    )
    monkeypatch.setattr(handout, "_POLL_SECONDS", 0.1)
    worker = threading.Thread(target=due, args=(client, over))
    worker.start()
    ended = threading.Timer(
        60, lambda: [client.set_flow_run_state(run.id, Completed(), force=True) for run in client.read_flow_runs()]
    )
    ended.start()
    begun = time.monotonic()
    try:
        assert handout.wait_for([handout.Job("one", name, {})], attempts=1) == []
        assert time.monotonic() - begun < 50
    finally:
        ended.cancel()
        over.set()
        worker.join()


def test_a_deployment_of_another_version_is_named(deployment):
    name, client = deployment
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    made = client.read_deployment_by_name(name)
    client.update_deployment(made.id, DeploymentUpdate(parameter_openapi_schema=schema, enforce_parameter_schema=True))
    with pytest.raises(SettingsError, match="run `bigfusion deploy` again"):
        handout.Job("one", name, {"new": 1}).hand_out()


def test_an_artifact_that_the_server_does_not_take_ends_no_run():
    refused: list[str] = []

    def fails(number: int, path: str) -> bool:
        if "artifacts" in path:
            refused.append(path)
        return "artifacts" in path

    with (
        faulty(get_current_settings().api.url, fails) as url,
        temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}),
    ):
        artifacts.Progress("bar", "a bar", 2).update(2)
    assert refused


def caused(error: Exception) -> StoreError:
    """The store's error as it stands when another caused it."""
    try:
        raise StoreError("the store cannot be written") from error
    except StoreError as found:
        return found


FULL, DENIED = OSError(28, "full"), PermissionError(13, "denied")


@pytest.mark.parametrize("error", [FULL, OSError(116, "stale"), TimeoutError(), MemoryError(), caused(FULL)], ids=repr)
def test_errors_of_the_machine_may_pass(error):
    assert passes(error)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "none"), DENIED, ValueError(), caused(DENIED)], ids=repr)
def test_errors_that_a_person_mends_do_not_pass(error):
    assert not passes(error)
