"""Calls to a Prefect server that may be away for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from bigfusion.pipeline.words import reason

log = logging.getLogger("bigfusion")

_LONGEST_PAUSE = 60.0
PATIENCE_SECONDS = 1800.0
"""Seconds during which a server may answer with nothing but passing errors."""

T = TypeVar("T")


def passes(error: Exception) -> bool:
    """Whether a call with this error may succeed soon: no connection, a busy server, or an internal server error."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


def patiently(call: Callable[[], T], patience: float = PATIENCE_SECONDS) -> T:
    """The result of ``call`` to the server. While its error may pass, it is called again after 1, 2, 4, ... 60 s.

    Raises:
        httpx.HTTPError: the server refuses, or only such errors came for ``patience`` seconds.
    """
    deadline, pause = time.monotonic() + patience, 1.0
    while True:
        try:
            return call()
        except httpx.HTTPError as error:
            if not passes(error) or time.monotonic() + pause > deadline:
                raise
            log.warning("Prefect's server: %s; asked again in %.0f s", reason(error), pause)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
