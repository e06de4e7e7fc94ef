"""The log: one line an event on standard error, as text or, with ``--log-json``, as JSON.

No line at INFO or above holds a transcript or the path of a media file, except where an error names the item that it is
about; what Prefect shows of our log on a shared server is the same lines.
"""

from __future__ import annotations

import json
import logging
import os
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
    if not debug:
        _hush_libraries()


def _hush_libraries() -> None:
    """Libraries say on the screen what they try again and what they miss; an error that stays reaches the user as ours.

    Python shows the warnings of a logger that has no handler, so the root gets one that shows nothing.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    for name in ("HF_HUB_VERBOSITY", "TRANSFORMERS_VERBOSITY"):  # read when they are imported
        os.environ.setdefault(name, "error")
