"""``bigfusion report``: print the path of a run's report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer, Common, add_seeds, run_folder, without
from bigfusion.pipeline.errors import SettingsError, TrainingError

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project
    from bigfusion.flows.project.standing import Standing

HELP = "print where the run's report lies; with --media, add a page for each test dialogue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `report` takes."""
    parser.add_argument("--run", dest="named", metavar="RUN", help="another run: its id, as `bigfusion models` has it")
    parser.add_argument(
        "--media",
        action="store_true",
        help="write a page for each test dialogue whose media are at hand, and link them from the report",
    )
    add_seeds(parser)


def run(common: Common, named: str | None, media: bool, seeds: int | None) -> Answer:
    """Print the path of the report of the present run, or of another one. With ``media``, write pages of dialogues."""
    from bigfusion.flows.project.standing import load
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.runs.folder import REPORT

    if named is not None:
        without("report --run", "a run's report is of the seeds that it has", seeds=seeds)
        without("report --run", "the pages of dialogues are made for the present run", media=media)
        path = run_folder(common, Path(named)) / REPORT
        if not path.is_file():
            raise TrainingError(f"{path}: no such report; `bigfusion models` lists the runs, `evaluate` writes reports")
        return Answer(relative(path.absolute()), {"run": path.parent.name, "report": str(path.absolute())})
    project = common.project(seeds=seeds)
    standing = load(project)
    present = standing.run
    if standing.stage("train").pending or standing.stage("evaluate").pending:
        raise TrainingError("no report of the present state yet; run `bigfusion run`")
    answer = {"run": present.id, "report": str(present.report)}
    if not media:
        return Answer(relative(present.report), answer)
    pages = _with_media(project, standing)
    links = f"{len(pages)} dialogues with their media: {relative(present.folder)}/dialogues"
    return Answer(f"{relative(present.report)}\n{links}", {**answer, "pages": pages})


def _with_media(project: Project, standing: Standing) -> dict[str, str]:
    """Write the pages of the dialogues, and the report anew with links to them. Returns the pages' paths."""
    from bigfusion.flows.project import dialogue_pages, reporting

    present = standing.run
    if standing.manifest.has_values:
        raise SettingsError("report --media: exists for classes only, found numbers (corpus.task); leave --media out")
    if present.folds:
        raise SettingsError(
            "report --media: expected a single model, found a cross-validation; leave --media out, or train without"
            " corpus.folds"
        )
    pages = dialogue_pages.write_pages(project, standing.manifest, standing.plan, present)
    if not pages:
        raise TrainingError(
            f"{standing.manifest.root}: expected media of the test dialogues, found none; the corpus' files must lie "
            "where `bigfusion ingest` saw them"
        )
    reporting.write(project, standing.manifest, standing.plan, present)
    return {dialogue: str(present.folder / page) for dialogue, page in pages.items()}
