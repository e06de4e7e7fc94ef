"""Prefect servers that a command starts: a temporary one for its own flows, or a lasting one with pages (`serve`).

Each runs in a separate session. So neither Ctrl-C in the terminal nor a signal to the command's process group reaches
it. The command first ends its runs, which report to the server until the end. Then it ends the server.
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
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from bigfusion.flows.engine import database
from bigfusion.flows.engine.configuration import STARTUP, configured, server_url, set_defaults
from bigfusion.flows.engine.home import kept, served
from bigfusion.flows.project.workspace import Workspace
from bigfusion.flows.stopping import on_forced_end, undivided
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

AWAITED_SECONDS = 120.0
_LOG = "server.log"
_START_SECONDS = 300.0  # a first start builds the database: 10-20 s on an idle machine
_DELIVERED_SECONDS = 3.0
_END_SECONDS = {"temporary": 3.0, "lasting": 20.0}
_UVICORN = "from bigfusion.flows.garbage import collect_all_rarely as r; r(); from uvicorn.main import main; main()"
_TEMPORARY = ("-P", "-c", _UVICORN, "--factory", "prefect.server.api.server:create_app", "--log-level", "error")
_ONLY_API = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "0",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0",
}
"""Prefect's options for a temporary server: no pages, no blocks, and only the services that a run needs."""


@contextmanager
def temporary_server(home: Path, meanwhile: Callable[[], None] = lambda: None) -> Iterator[str]:
    """Run an API server on the database in ``home`` within this block. Yields its address.

    ``meanwhile`` is called while the server starts, which takes seconds on another core.

    Raises:
        SettingsError: the server does not start in time.
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
    """Use the user's Prefect server, or run one within this block. Yields its address.

    A server started here listens on this machine only. Its database lies in the workspace, with the commands' runs.

    Raises:
        SettingsError: the server does not start, for instance because the port is taken or the workspace already has
            a server.
    """
    set_defaults()
    if own := server_url():
        await_server(own)
        yield own
        return
    url = f"http://127.0.0.1:{port}/api"
    with kept(workspace, url) as home, configured(PREFECT_HOME=str(home)):
        _check_free(port)
        database.lay(home)
        command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        # Without this setting its pages call 127.0.0.1:4200, whatever the port is.
        with _process(command, home, {"PREFECT_SERVER_UI_API_URL": url}, _END_SECONDS["lasting"]) as (server, logged):
            why = f"{logged} says why"
            await_server(url, _START_SECONDS, why, lambda: _check(server, url, f"{why}, --port names another"))
            with _reporting_to(url):
                yield url


@contextmanager
def reporting_to_served(workspace: Workspace, url: str) -> Iterator[None]:
    """Report to the server that another process keeps for this workspace at ``url``.

    Raises:
        SettingsError: the server does not start, or the process that keeps it ends in the meantime.
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
    """Run a server's process in a separate session within this block. Yields the process and its log file."""
    logged = home / _LOG
    environment = os.environ | settings | {"PREFECT_HOME": str(home)}
    with ExitStack() as started:
        with undivided(), logged.open("wb") as file:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )
            started.enter_context(on_forced_end(server.kill))
            started.callback(_end, server, patience)
        yield server, logged


def _end(server: subprocess.Popen[bytes], patience: float) -> None:
    """Ask a server to end, and force it to after ``patience`` seconds."""
    server.terminate()
    try:
        server.wait(patience)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@contextmanager
def _reporting_to(url: str) -> Iterator[None]:
    """Let Prefect report to a server on this machine and start none itself. Waiting logs are sent at the end."""
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
    """Wait until a server answers, with a request every ``pause`` seconds. A new server first builds its database.

    The user is told once that the command waits, unless ``said``. ``check`` is called before each request, and its
    errors pass through.

    Raises:
        SettingsError: the server has not answered for ``seconds``; the message ends with ``remedy``.
    """
    deadline = time.monotonic() + seconds
    while True:
        check()
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except HTTPError as answer:  # the server is there; the first real call will show whether it lets us in
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
    """Send the logs and events that Prefect still holds. Otherwise it tries to for a minute after the command's end."""
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], worker).drain_all(timeout=_DELIVERED_SECONDS)


def free_port() -> int:
    """A port of this machine on which no process listens now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _check_free(port: int) -> None:
    """Refuse a port in use: the server there, for instance another project's, would answer instead of ours."""
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
