"""``bigfusion quarantine``: the failed cells, and what to do about each."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common

HELP = "list the failed cells and what to do about each: a page and a CSV file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `quarantine` takes."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where they go (default: the workspace)")


def run(common: Common, out: Path | None) -> Answer:
    """List the failed cells: a page and a CSV file."""
    import pandas as pd

    from bigfusion.flows.project.failed_cells import REMEDIES, FailedCell, failed_cells, page, tally
    from bigfusion.flows.project.workspace import relative
    from bigfusion.pipeline.atomic import write_whole

    project = common.project()
    found = failed_cells(project)
    folder = out or project.files.folder
    html, sheet = folder / "quarantine.html", folder / "quarantine.csv"
    rows = [cell._asdict() | {"status": cell.status.value, "remedy": cell.remedy} for cell in found]
    write_whole(html, page(project.corpus.kind, found).encode())
    write_whole(sheet, pd.DataFrame(rows, columns=[*FailedCell._fields, "remedy"]).to_csv(index=False).encode())
    lines = [
        f"{status.value:<19}{modality:<7}{count:>7,}  {REMEDIES[status]}" for (status, modality), count in tally(found)
    ]
    lines.append(f"{len(found):,} failed cells: {relative(html)}, {relative(sheet)}")
    return Answer("\n".join(lines), {"page": str(html), "csv": str(sheet), "cells": rows})
