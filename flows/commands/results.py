"""A scored run's results, as `run`, `evaluate` and `demo` print them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer

if TYPE_CHECKING:
    from bigfusion.flows.project.runs import Run
    from bigfusion.flows.project.settings import Project


def results(project: Project, run: Run) -> Answer:
    """The results table of a run, and the paths of the files that it made."""
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.report.number_table import numbers_table
    from bigfusion.model.report.table import table
    from bigfusion.model.scoring.number_results import is_regression

    paths = {
        "run": str(run.folder),
        "report": str(run.report),
        "manifest": str(project.files.manifest),
        "store": str(project.store),
    }
    lines = [numbers_table(run.folder) if is_regression(run.folder) else table(run.folder)]
    if project.is_demo:
        lines.append(
            "\nA demo on made-up conversations: it shows that the pipeline works, nothing about emotion recognition."
        )
    lines += ["", *(f"{name:<9} {relative(Path(path))}" for name, path in paths.items())]
    return Answer("\n".join(lines), run.metrics() | {"run": run.id, "demo": project.is_demo, "paths": paths})
