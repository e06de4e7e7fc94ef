"""``bigfusion report``: print the path of a run's report."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common, add_seeds, run_folder, without
from bigfusion.pipeline.errors import TrainingError

HELP = "print where the run's report lies"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    parser.add_argument("--run", dest="named", metavar="RUN", help="another run: its id, as `bigfusion models` has it")
    add_seeds(parser)


def run(common: Common, named: str | None, seeds: int | None) -> Answer:
    """Print the path of the report of the present run, or of another one."""
    from bigfusion.flows.project.standing import load
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.runs.folder import REPORT

    if named is not None:
        without("report --run", "a run's report is of the seeds that it has", seeds=seeds)
        path = run_folder(common, Path(named)) / REPORT
        if not path.is_file():
            raise TrainingError(f"{path}: no such report; `bigfusion models` lists the runs, `evaluate` writes reports")
        return Answer(relative(path.absolute()), {"run": path.parent.name, "report": str(path.absolute())})
    project = common.project(seeds=seeds)
    standing = load(project)
    present = standing.run
    if standing.stage("train").pending or standing.stage("evaluate").pending:
        raise TrainingError("no report of the present state yet; run `bigfusion run`")
    return Answer(relative(present.report), {"run": present.id, "report": str(present.report)})
