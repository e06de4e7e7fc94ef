"""``bigfusion run``: ingest, extract, train and evaluate, but only what changed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer, Common, add_description, add_extraction, add_seeds
from bigfusion.flows.commands.flow import run_flow
from bigfusion.flows.commands.results import results

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project

HELP = "ingest, extract, train, evaluate: only what changed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `run` takes."""
    add_seeds(parser)
    add_extraction(parser)
    add_description(parser)


def run(
    common: Common, seeds: int | None, retry_failed: bool, runner: str | None, name: str | None, note: str | None
) -> Answer:
    """Run every stage whose inputs changed."""
    from bigfusion.flows.project.experiments import check_description, describe

    check_description(name, note)
    answer = run_project(common.project(seeds=seeds, runner=runner), common.debug, retry_failed, common.trial())
    describe(Path(answer.data["paths"]["run"]), name, note)
    return answer


def run_project(project: Project, debug: bool, retry_failed: bool = False, trial: str = "") -> Answer:
    """Run every stage of a project whose inputs changed. If there is nothing to do, Prefect is not started.

    The run of a ``trial`` (the options that make it one) is never promoted by itself.
    """
    from bigfusion.flows.progress import counted
    from bigfusion.flows.project import runs
    from bigfusion.flows.project.needs import mention_needs
    from bigfusion.flows.project.preflight import preflight, require
    from bigfusion.flows.project.standing import keep_scanned, look

    def flow() -> str:
        from bigfusion.flows.stages.retrain import retrain

        return str(retrain(project, retry_failed))

    with counted("plan", " files") as progress:
        standing = look(project, retry_failed, progress, trial)
    standing.require_labels()
    if standing.pending:
        require(preflight(project, standing.plan))
        return results(project, runs.named(project, run_flow(project, debug, standing, flow)))
    keep_scanned(project, standing)
    standing.say_nothing_to_do()
    mention_needs(project, standing.plan)
    return results(project, standing.run)
