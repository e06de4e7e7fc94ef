"""``bigfusion extract``: the features that are missing or stale."""

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
    from bigfusion.flows.project import cells, corpus
    from bigfusion.flows.project.upkeep import mention_reach

    project = common.project(runner=runner)

    def flow() -> None:
        from bigfusion.flows.stages.extract import extraction
        from bigfusion.flows.stages.ingest import ingest

        ingest(project)
        extraction(project)(project, retry_failed)

    if not cells.plan(project, corpus.look(project).manifest, retry_failed).pending_count:
        log.info("extract: 0 cells to extract: all fingerprints are in the store")
    else:
        run_flow(project, common.debug, flow)
    planned = cells.plan(project, corpus.look(project).manifest)
    mention_reach(project, planned)
    data = {"pending": planned.pending_count, "cells": planned.counts(), "store": store_info(project)}
    return Answer(show.cells(data), data)
