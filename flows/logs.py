"""The log: one line for each event on standard error, as text or, with ``--log-json``, as JSON.

No line at INFO or above contains a transcript or the path of a media file, unless an error has to name the item that it
is about. Prefect shows the same lines on a shared server.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

log = logging.getLogger("bigfusion")
if log.level == logging.NOTSET:  # Prefect gives the loggers that it is told to show handlers, but the root's level
    log.setLevel(logging.INFO)


above: Callable[[str], bool] | None = None
"""Writes a line above the progress bars while some are shown, and returns whether it has."""


class ToScreen(logging.StreamHandler[TextIO]):
    """Write to standard error, above the progress bars if some are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one event."""
        if above is None or not above(self.format(record)):
            super().emit(record)


class OneLine(logging.Formatter):
    """Format only the message, with spaces for line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return " ".join(record.getMessage().split("\n"))


class OneJson(logging.Formatter):
    """``{"time": ..., "level": ..., "logger": ..., "event": ...}``, with ``error`` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(debug: bool, as_json: bool) -> None:
    """Log to standard error, and remove all earlier handlers."""
    handler = ToScreen()
    handler.setFormatter(OneJson() if as_json else OneLine())
    log.handlers = [handler]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    if not debug:
        _hush_libraries()


def as_json() -> bool:
    """Whether the log is written as JSON."""
    return any(isinstance(handler.formatter, OneJson) for handler in log.handlers)


def _hush_libraries() -> None:
    """Silence the messages of libraries about retries and missing parts. A final error reaches the user as our error.

    Python prints warnings of loggers without a handler, so the root logger gets a handler that prints nothing.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY"):  # the libraries read these on import
        os.environ.setdefault(name, "error")
