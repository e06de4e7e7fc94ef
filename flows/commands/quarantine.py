"""``bigfusion quarantine``: list the failed cells, with a remedy for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.flows.project.failed_cells import FailedCell, NotedCell

HELP = "list the failed cells and what to do about each: a page and a CSV file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `quarantine` takes."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="where they go (default: the workspace)")


def run(common: Common, out: Path | None) -> Answer:
    """List the failed cells in a page and a CSV file."""
    import pandas as pd

    from bigfusion.flows.project.failed_cells import (
        REMEDIES,
        FailedCell,
        NotedCell,
        failed_cells,
        noted_cells,
        page,
        tally,
    )
    from bigfusion.flows.project.workspace import relative
    from bigfusion.pipeline.atomic import write_whole
    from bigfusion.pipeline.plan.notes import kinds
    from bigfusion.pipeline.readonly import writable

    project = common.project()
    found, noted = failed_cells(project), noted_cells(project)
    folder = out or project.files.folder
    if out is None and not writable(folder / "quarantine.html"):
        return _shown(found, noted)
    html, sheet = folder / "quarantine.html", folder / "quarantine.csv"
    rows = _rows(found)
    write_whole(html, page(project.corpus.kind, found, noted).encode())
    write_whole(sheet, pd.DataFrame(rows, columns=[*FailedCell._fields, "remedy"]).to_csv(index=False).encode())
    lines = [
        f"{status.value:<19}{feature:<15}{count:>7,}  {REMEDIES[status]}" for (status, feature), count in tally(found)
    ]
    if 0 < len(found) <= _LISTED:
        lines += ["", *(f"{cell.utterance}: {cell.feature}: {cell.reason}" for cell in found), ""]
    lines.append(f"{numbered(len(found), 'failed cell')}: {relative(html)}, {relative(sheet)}")
    for feature in dict.fromkeys(cell.feature for cell in noted):
        counts = kinds(cell.note for cell in noted if cell.feature == feature)
        lines += [f"{'ok':<19}{feature:<15}{count:>7,}  noted: {kind}" for kind, count in counts.items()]
    notes = [cell._asdict() for cell in noted]
    if noted:
        listed = folder / "notes.csv"
        write_whole(listed, pd.DataFrame(notes, columns=NotedCell._fields).to_csv(index=False).encode())
        lines.append(f"{len(noted):,} cells with a note: {relative(listed)}")
    return Answer("\n".join(lines), {"page": str(html), "csv": str(sheet), "cells": rows, "notes": notes})


_LISTED = 20
"""So many failed cells are listed on the screen too, with what was found."""


def _rows(found: list[FailedCell]) -> list[dict[str, Any]]:
    return [cell._asdict() | {"status": cell.status.value, "remedy": cell.remedy} for cell in found]


def _shown(found: list[FailedCell], noted: list[NotedCell]) -> Answer:
    """The cells as text, for a workspace that cannot be written."""
    from bigfusion.flows.commands.show import columns

    lines = [f"{numbered(len(found), 'failed cell')}; --out DIR writes a page and a CSV file"]
    if found:
        shown = [[cell.status.value, cell.feature, cell.utterance, cell.remedy] for cell in found]
        lines = [columns(shown, ["status", "feature", "utterance", "what to do"]), "", *lines]
    data = {"page": None, "csv": None, "cells": _rows(found), "notes": [cell._asdict() for cell in noted]}
    return Answer("\n".join(lines), data)
