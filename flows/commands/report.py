"""``bigfusion report``: where the run's report lies."""

from __future__ import annotations

import argparse

from bigfusion.flows.commands.common import Answer, Common, add_seeds
from bigfusion.pipeline.errors import TrainingError

HELP = "print where the run's report lies"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    add_seeds(parser)


def run(common: Common, seeds: int | None) -> Answer:
    """Where the present run's report lies."""
    from bigfusion.flows.project.standing import load
    from bigfusion.flows.project.workspace import relative

    project = common.project(seeds=seeds)
    standing = load(project)
    present = standing.run
    if standing.stage("train").pending or standing.stage("evaluate").pending:
        raise TrainingError("no report of the present state yet; run `bigfusion run`")
    return Answer(relative(present.report), {"run": present.id, "report": str(present.report)})
