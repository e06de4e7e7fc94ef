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
    from bigfusion.flows.project import runs
    from bigfusion.flows.project.workspace import relative

    project = common.project(seeds=seeds)
    _, planned, present = runs.present(project)
    if any(stage.pending for stage in runs.stages(project, present, planned)):
        raise TrainingError("no report of the present state yet; run `bigfusion run`")
    return Answer(relative(present.report), {"run": present.id, "report": str(present.report)})
