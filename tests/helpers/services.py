"""PostgreSQL, Redis, a Prefect server on them and process workers, all of this test's own on free ports."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def missing() -> str:
    """What of the services is not installed here; empty where all is."""
    absent = [name for name, found in (("postgresql", postgres_tools()), ("redis-server", redis())) if found is None]
    return ", ".join(absent)


def postgres_tools() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; Debian keeps them off the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("postgres")
    candidates = [*folders[::-1], *([Path(on_path).resolve().parent] if on_path else [])]
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


def redis() -> str | None:
    """The Redis server's command."""
    return shutil.which("redis-server")


NEEDED = (
    pytest.mark.skipif(bool(missing()), reason=f"not installed here: {missing()} (apt-get install)"),
    pytest.mark.skipif(importlib.util.find_spec("prefect_redis") is None, reason="needs bigfusion[production]"),
)
"""The marks of tests that start the services: what they are skipped for."""

NO_BLOCKS = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "0", "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "0"}
"""A Prefect server describes all kinds of blocks when it starts, three seconds long. Nothing here uses blocks."""


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait(what: str, ready: Callable[[], object], seconds: float = 400, every: float = 0.25) -> None:
    """Wait until ``ready`` says something true. A question to Prefect's server costs it work: once a second will do."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError):
            if ready():
                return
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds} s")


def server_settings(database: str, redis_host: str, redis_port: int) -> dict[str, str]:
    """What puts a Prefect server on PostgreSQL and Redis; docker/compose.yaml and docs/production.md say the same."""
    return {
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_HOST": redis_host,
        "PREFECT_REDIS_MESSAGING_PORT": str(redis_port),
        "PREFECT_SERVER_DOCKET_URL": f"redis://{redis_host}:{redis_port}/1",
    }


def kill(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Send a signal to a process and all its descendants, as when a machine stops."""
    family = {process.pid}
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    for one in family if process.poll() is None else family - {process.pid}:
        with suppress(ProcessLookupError):
            os.kill(one, how)


@dataclass
class Services:
    """Servers and workers in ``folder``; everything that was started is ended on the way out."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] = field(init=False)
    database: subprocess.Popen[bytes] = field(init=False)
    start_server: Callable[[], None] = field(init=False)
    start_postgres: Callable[[], None] = field(init=False)
    _workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Services:
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
        } | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, command: list[str], **more: str) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, its output in ``name.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.environment | more, start_new_session=True, cwd=self.folder
            )
        self._stack.callback(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and whatever it has started."""
        kill(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        kill(process, signal.SIGKILL)
        process.wait()

    def postgres(self) -> str:
        """A PostgreSQL server; it refuses to run as root, so that root runs it as ``nobody``. Returns its address.

        Its files lie outside the test's folder: every pytest that starts closes that folder's parent to all other users
        (the database of a running test then stops, and Prefect's server answers 500).
        """
        tools, data, port = postgres_tools(), Path(tempfile.mkdtemp(prefix="bigfusion-postgres-")), free_port()
        self._stack.callback(shutil.rmtree, data, ignore_errors=True)
        prefix = []
        if os.getuid() == 0:
            shutil.chown(data, "nobody", "nogroup")
            prefix = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        initdb = [*prefix, str(tools / "initdb"), "-D", str(data), "-U", "prefect", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        options = ["-p", str(port), "-k", str(data), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        ready = [str(tools / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]

        def start() -> None:
            self.database = self.start("postgres", [*prefix, str(tools / "postgres"), "-D", str(data), *options])
            wait("PostgreSQL", lambda: subprocess.run(ready, check=False).returncode == 0)

        self.start_postgres = start
        start()
        return f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"

    def switch_off_the_database(self) -> None:
        """Stop PostgreSQL without a goodbye, as when its machine is switched off."""
        kill(self.database, signal.SIGQUIT)
        self.database.wait(60)

    def redis(self) -> int:
        """A Redis server. Returns its port."""
        port = free_port()
        command = [redis(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.start("redis", command)

        def answers() -> bool:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"

        wait("Redis", answers)
        return port

    def prefect_server(self, database: str, redis_port: int) -> str:
        """A Prefect server with its messages and its docket on Redis. Returns the address of its API."""
        port = free_port()
        url = f"http://127.0.0.1:{port}/api"
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        settings = server_settings(database, "127.0.0.1", redis_port) | {"PREFECT_SERVER_UI_API_URL": url} | NO_BLOCKS

        def start() -> None:
            self.server = self.start("server", command, **settings)
            wait("Prefect's server", lambda: urllib.request.urlopen(f"{url}/health", timeout=2))

        self.start_server = start
        start()
        self.environment["PREFECT_API_URL"] = url
        return url

    def worker(self, name: str, limit: int, pool: str = "cpu", **more: str) -> subprocess.Popen[bytes]:
        """A process worker of a pool that takes ``limit`` runs at once."""
        start = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
        self._workers.append(self.start(name, [*start, "--pool", pool, "--name", name, "--limit", str(limit)], **more))
        return self._workers[-1]

    def end_workers(self) -> None:
        """End the workers that were started so far; the servers go on."""
        while self._workers:
            self.end(self._workers.pop())

    def bigfusion(self, *arguments: str, code: int = 0) -> str:
        """One command of ours. Returns what it prints."""
        command = [sys.executable, "-m", "bigfusion.flows.cli", *arguments]
        ran = subprocess.run(
            command, check=False, capture_output=True, text=True, env=self.environment, cwd=self.folder, timeout=600
        )
        assert ran.returncode == code, ran.stderr
        return ran.stdout
