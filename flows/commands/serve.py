"""``bigfusion serve``: serve the deployments on this machine."""

from __future__ import annotations

import argparse
import logging

from bigfusion.flows.commands.common import Answer, Common, add_schedule
from bigfusion.flows.commands.schedule import schedule

HELP = "run the deployments on this machine, without workers"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `serve` takes."""
    parser.add_argument("--port", type=_port, default=4200, help="of the Prefect server, where none is configured")
    add_schedule(parser)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port, 1 to 65535, found {text!r}")
    return int(text)


def run(common: Common, port: int, seeds: int | None, cron: str | None, timezone: str, name: str | None) -> Answer:
    """Serve the deployments from this process until interrupted. If no server is configured, one is started."""
    from bigfusion.flows.engine.server import own_server

    project = common.project(seeds=seeds)
    name = name or project.name
    planned = schedule(cron, timezone)  # before a server is started
    with own_server(project.files, port) as url:
        from bigfusion.flows.stages.serve import (
            serve_deployments,  # Prefect reads the server's address when it is imported
        )

        when = f"retrain at {cron!r} {timezone}" if cron else "no schedule"
        log.info("serve: %s: %s; %s; Ctrl-C ends it", name, when, url.removesuffix("/api"))
        serve_deployments(project, name, planned)
    return Answer("serve: ended", {"name": name})
