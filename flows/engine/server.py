"""Prefect servers that a command starts: a temporary one for its own flows, or a lasting one with pages (`serve`).

Each runs in a session of its own, so that a terminal's Ctrl-C and a signal to the command's process group pass it by:
the command ends its runs first, which report to the server to the last, and the server then.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from bigfusion.flows.engine import database
from bigfusion.flows.engine.configuration import STARTUP, configured, server_url, set_defaults
from bigfusion.flows.engine.home import kept, served
from bigfusion.flows.project.workspace import Workspace
from bigfusion.flows.stopping import on_forced_end
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

AWAITED_SECONDS = 120.0
_LOG = "server.log"
_START_SECONDS = 300.0  # a first start builds the database: 10-20 s on an idle machine
_DELIVERED_SECONDS = 3.0
_END_SECONDS = {"temporary": 3.0, "lasting": 20.0}
_TEMPORARY = ("-P", "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--log-level", "error")
_ONLY_API = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect itself gives to a temporary server: no pages, and of its services those alone that a run needs."""


@contextmanager
def temporary_server(home: Path, meanwhile: Callable[[], None] = lambda: None) -> Iterator[str]:
    """The address of an API server on the database in ``home``, for as long as the block lasts.

    ``meanwhile`` is called while the server starts, which takes seconds of another core.

    Raises:
        SettingsError: it does not start in time.
    """
    new = database.lay(home)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = [
        sys.executable,
        *_TEMPORARY,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--lifespan",
        "on",
        "--app-dir",
        str(home),
    ]
    with _process(command, home, _ONLY_API, _END_SECONDS["temporary"]) as (server, logged):
        meanwhile()
        seconds = float(os.environ[STARTUP])
        remedy = f"{logged} says why; run the same command again, on a busy machine with {STARTUP}=600"
        await_server(url, seconds, remedy, lambda: _check(server, url, f"{logged} says why"), pause=0.1, said=True)
        if new:
            database.keep(home)
        with _reporting_to(url):
            yield url


@contextmanager
def own_server(workspace: Workspace, port: int) -> Iterator[str]:
    """The address of a Prefect server: the user's, or one of our own for as long as the block lasts.

    Ours listens on this machine alone and keeps its database in the workspace, where the commands' runs are too.

    Raises:
        SettingsError: the server does not start, for instance because the port is taken or the workspace has one.
    """
    set_defaults()
    if own := server_url():
        await_server(own)
        yield own
        return
    url = f"http://127.0.0.1:{port}/api"
    with kept(workspace, url) as home, configured(PREFECT_HOME=str(home)):
        _check_free(port)
        command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        # Its pages ask 127.0.0.1:4200 whatever the port, unless they are told.
        with _process(command, home, {"PREFECT_SERVER_UI_API_URL": url}, _END_SECONDS["lasting"]) as (server, logged):
            why = f"{logged} says why"
            await_server(url, _START_SECONDS, why, lambda: _check(server, url, f"{why}, --port names another"))
            with _reporting_to(url):
                yield url


@contextmanager
def reporting_to_served(workspace: Workspace, url: str) -> Iterator[None]:
    """Report to the server that another process keeps for this workspace at ``url``.

    Raises:
        SettingsError: it does not come up, or its keeper ends meanwhile.
    """

    def check() -> None:
        if served(workspace) is None:
            raise SettingsError(f"{url}: expected the server of `bigfusion serve`, which has ended; run the same again")

    await_server(url, _START_SECONDS, f"{workspace.prefect_home / _LOG} says why", check)
    log.info("reporting to the server of `bigfusion serve` at %s", url.removesuffix("/api"))
    with _reporting_to(url):
        yield


@contextmanager
def _process(
    command: list[str], home: Path, settings: dict[str, str], patience: float
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A server's process in a session of its own, and the file that it logs to; ended with the block."""
    logged = home / _LOG
    environment = os.environ | settings | {"PREFECT_HOME": str(home)}
    with logged.open("wb") as file:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
        )
    with on_forced_end(server.kill):
        try:
            yield server, logged
        finally:
            server.terminate()
            try:
                server.wait(patience)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextmanager
def _reporting_to(url: str) -> Iterator[None]:
    """Let Prefect report to a server on this machine, and start none itself; what it still holds is sent at the end."""
    with configured(PREFECT_API_URL=url, PREFECT_SERVER_EPHEMERAL_ENABLED="false"):
        try:
            yield
        finally:
            _deliver()


def await_server(
    url: str,
    seconds: float = AWAITED_SECONDS,
    remedy: str = "start `prefect server start`, or correct PREFECT_API_URL",
    check: Callable[[], None] = lambda: None,
    pause: float = 1.0,
    said: bool = False,
) -> None:
    """Return once a server answers, asked every ``pause`` seconds; one that was just started builds its database.

    The user is told of the waiting, unless that was ``said`` already.

    Raises:
        SettingsError: it has not answered for ``seconds``; the message ends with ``remedy``. Or what ``check``, called
            before each try, raises.
    """
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except HTTPError as answer:  # it is there; whom it lets in is found out by the first call
            if answer.code < 500:
                return
            found = f"an answer {answer.code}"
        except (OSError, HTTPException) as error:
            found = str(getattr(error, "reason", error))
        except ValueError as error:
            raise SettingsError(f"PREFECT_API_URL={url}: expected http://HOST:PORT/api, found {error}") from None
        if time.monotonic() > deadline:
            raise SettingsError(f"{url}: expected Prefect's server within {seconds:.0f} s, found {found}; {remedy}")
        if not said:
            log.info("waiting for Prefect's server at %s", url)
            said = True
        time.sleep(pause)


def _deliver() -> None:
    """Send what Prefect still holds of logs and events, which it would otherwise try for a minute after the end."""
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], worker).drain_all(timeout=_DELIVERED_SECONDS)


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _check_free(port: int) -> None:
    """Another project's server there would answer in our place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingsError(
                f"port {port}: expected a free one for a Prefect server, found {error.strerror}; name another with "
                f"--port, or set PREFECT_API_URL to the server that is there"
            ) from None


def _check(server: subprocess.Popen[bytes], url: str, remedy: str) -> None:
    if server.poll() is not None:
        raise SettingsError(f"{url}: expected a Prefect server, found one that ended at once; {remedy}")
