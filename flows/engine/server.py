"""A Prefect server for as long as a command needs one, where the user has none and other processes report to it."""

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

from bigfusion.flows.engine.home import kept, served
from bigfusion.flows.engine.session import configure, server_url, set_defaults
from bigfusion.flows.project.workspace import Workspace
from bigfusion.pipeline.errors import SettingsError

log = logging.getLogger("bigfusion")

AWAITED_SECONDS = 120.0
_LOG = "server.log"
_START_SECONDS = 300.0  # a first start builds the database: 10-20 s on an idle machine


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
    with kept(workspace, url) as home:
        configure(PREFECT_HOME=str(home))
        _check_free(port)
        logged = home / _LOG
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with logged.open("wb") as file:
            # A session of its own: an interrupt reaches this process, which ends its runs first and the server last.
            # Its pages ask 127.0.0.1:4200 whatever the port, unless they are told.
            environment = os.environ | {"PREFECT_SERVER_UI_API_URL": url}
            server = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
            try:
                await_server(url, _START_SECONDS, f"{logged} says why", lambda: _check(server, url, logged))
                with _reporting_to(url):
                    yield url
            finally:
                server.terminate()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()


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
def _reporting_to(url: str) -> Iterator[None]:
    configure(PREFECT_API_URL=url)
    try:
        yield
    finally:
        _deliver()
        os.environ.pop("PREFECT_API_URL", None)
        configure()


def await_server(
    url: str,
    seconds: float = AWAITED_SECONDS,
    remedy: str = "start `prefect server start`, or correct PREFECT_API_URL",
    check: Callable[[], None] = lambda: None,
) -> None:
    """Return once a server answers: one that was started a moment ago still builds its database.

    Raises:
        SettingsError: it has not answered for ``seconds``; the message ends with ``remedy``. Or what ``check``, called
            before each try, raises.
    """
    deadline, said = time.monotonic() + seconds, False
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
        time.sleep(1)


def _deliver() -> None:
    """Send what Prefect still holds of logs and events, which it would otherwise try for a minute after the end."""
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if module in sys.modules:
            getattr(sys.modules[module], worker).drain_all(timeout=20)


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


def _check(server: subprocess.Popen[bytes], url: str, logged: Path) -> None:
    if server.poll() is not None:
        raise SettingsError(
            f"{url}: expected a Prefect server, found one that ended at once; {logged} says why, --port names another"
        )
