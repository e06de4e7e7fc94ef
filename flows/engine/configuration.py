"""Prefect's settings: the ones that a command sets, and the server that the user has configured.

Prefect reads its settings when it is imported: call :func:`set_defaults` before that. A server that the user has
configured (``PREFECT_API_URL``, or in a profile) and all other settings of the user stay unchanged.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from bigfusion.pipeline.errors import SettingsError

EVERYWHERE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "bigfusion",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",  # with 429, 502 and 503: a busy server must end no run
}
"""Prefect's settings for commands and for workers alike."""

STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
"""Prefect's setting for the seconds that a command waits for its temporary server."""

_DEFAULTS = {
    **EVERYWHERE,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    STARTUP: "120",  # a first start builds the database: 10-20 s
    "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors reach the user as one line; --debug shows the rest
    "PREFECT_LOGGING_ROOT_LEVEL": "CRITICAL",  # else Prefect shows the warnings of all libraries, its workers' too
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # a command logs before and after its flows, too
    "PREFECT_CLI_PROMPT": "false",
}

SLOT = "gpu"
"""The global concurrency limit that a training holds. `bigfusion deploy` creates it on a server; without it trainings
do not wait.
"""

FLOWS = ("retrain", "ingest", "extract", "partition", "train", "evaluate")
"""The names of this project's flows on a server."""

_LOCAL = ("127.0.0.1", "localhost")
_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def set_defaults() -> None:
    """Set those settings of Prefect that the user has not set: no telemetry, less logging, time to start, no proxy."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    _keep_proxies_out()


def server_url() -> str | None:
    """The API of the user's own Prefect server: from the environment, a profile, or wherever else Prefect looks.

    Raises:
        SettingsError: Prefect refuses a value of one of its settings.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    try:
        from prefect.settings import get_current_settings

        return get_current_settings().api.url
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"Prefect's setting {where}: {first['msg']}, found {first['input']!r}; correct the environment"
            " (PREFECT_...) or the profile (`prefect config view`)"
        ) from None


def has_server() -> bool:
    """Whether the user has configured a Prefect server."""
    return server_url() is not None


def configure(**settings: str) -> None:
    """Give Prefect settings, even if it has read its settings already."""
    os.environ.update(settings)
    _refresh()


@contextmanager
def configured(**settings: str) -> Iterator[None]:
    """Give Prefect settings within this block, and restore the old ones after it."""
    before = {name: os.environ.get(name) for name in settings}
    configure(**settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _refresh()


def _keep_proxies_out() -> None:
    """Let calls to a server on this machine bypass the proxy (``http_proxy``), which cannot reach it."""
    if not any(os.environ.get(name) for name in _PROXIES):
        return
    for name in ("no_proxy", "NO_PROXY"):  # some clients read the first, some the second
        hosts = [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]
        os.environ[name] = ",".join([*hosts, *(host for host in _LOCAL if host not in hosts)])


def _refresh() -> None:
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
