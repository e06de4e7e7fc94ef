"""The log: one line an event on standard error, as text or, with ``--log-json``, as JSON.

No line at INFO or above holds a transcript or the path of a media file, except where an error names the item that it is
about; what Prefect shows of our log on a shared server is the same lines.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

log = logging.getLogger("bigfusion")
if log.level == logging.NOTSET:  # Prefect gives the loggers that it is told to show handlers, but the root's level
    log.setLevel(logging.INFO)


class OneLine(logging.Formatter):
    """The message alone, its line breaks made spaces."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return " ".join(record.getMessage().split("\n"))


class OneJson(logging.Formatter):
    """``{"time": ..., "level": ..., "logger": ..., "event": ...}``, with ``error`` where there is one."""

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
    """Log to standard error, in place of whatever handlers there were."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneJson() if as_json else OneLine())
    log.handlers = [handler]
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
