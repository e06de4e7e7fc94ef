"""``bigfusion extract``: compute the features that are missing or stale."""

from __future__ import annotations

import argparse
import logging

from bigfusion.flows.commands import show
from bigfusion.flows.commands.common import Answer, Common, add_extraction
from bigfusion.flows.commands.flow import run_flow
from bigfusion.flows.commands.store import store_info

HELP = "compute the features that are missing or stale"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `extract` takes."""
    add_extraction(parser)


def run(common: Common, retry_failed: bool, runner: str | None) -> Answer:
    """Ingest, then compute the cells that are missing or stale."""
    from bigfusion.flows.project.needs import mention_needs
    from bigfusion.flows.project.preflight import preflight, require
    from bigfusion.flows.project.standing import keep_scanned, look

    project = common.project(runner=runner)

    def flow() -> None:
        from bigfusion.flows.stages.extract import extraction
        from bigfusion.flows.stages.ingest import ingest

        ingest(project)
        extraction(project)(project, retry_failed)

    standing = look(project, retry_failed)
    if not standing.plan.pending_count:
        keep_scanned(project, standing)
        log.info("extract: 0 cells to extract: all fingerprints are in the store")
    else:
        require(preflight(project, standing.plan, training=False))
        run_flow(project, common.debug, standing, flow)
        standing = standing.after_extraction(project)
    planned = standing.plan
    mention_needs(project, planned)
    data = {"pending": planned.pending_count, "cells": planned.counts(), "store": store_info(project)}
    return Answer(show.cells(data), data)
