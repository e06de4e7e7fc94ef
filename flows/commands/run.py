"""``bigfusion run``: ingest, extract, train, evaluate; only what changed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer, Common, add_extraction, add_seeds
from bigfusion.flows.commands.flow import run_flow
from bigfusion.flows.commands.results import results

if TYPE_CHECKING:
    from bigfusion.flows.project.project import Project

HELP = "ingest, extract, train, evaluate: only what changed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` takes."""
    add_seeds(parser)
    add_extraction(parser)


def run(common: Common, seeds: int | None, retry_failed: bool, runner: str | None) -> Answer:
    """Run what changed."""
    return run_project(common.project(seeds=seeds, runner=runner), common.debug, retry_failed)


def run_project(project: Project, debug: bool, retry_failed: bool = False) -> Answer:
    """Run what changed in a project. With nothing to do, say so without starting Prefect."""
    from bigfusion.flows.progress import counted
    from bigfusion.flows.project import runs
    from bigfusion.flows.project.outlook import outlook
    from bigfusion.flows.project.upkeep import mention_reach

    def flow() -> None:
        from bigfusion.flows.stages.retrain import retrain

        retrain(project, retry_failed)

    with counted("plan", " files") as progress:
        found = outlook(project, retry_failed, progress)
    if found.pending:
        run_flow(project, debug, flow)
        _, _, present = runs.present(project)
        return results(project, present)
    found.say_nothing_to_do()
    mention_reach(project, found.planned)
    return results(project, found.run)
