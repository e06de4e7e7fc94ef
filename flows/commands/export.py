"""``bigfusion export``: write the features as plain Parquet with a dataset card."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common

HELP = "write the features as plain Parquet with a card, for other tools"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `export` takes."""
    parser.add_argument("folder", type=Path, metavar="DIR")


def run(common: Common, folder: Path) -> Answer:
    """Write the present features of the kept manifest into a folder."""
    from bigfusion.flows.project.exporting import write_export
    from bigfusion.flows.project.workspace import relative

    written = write_export(common.project(), folder)
    lines = [f"{rows:>8}  {relative(path.resolve())}" for path, rows in written.items()]
    lines.append(f"card      {relative((folder / 'README.md').resolve())}")
    return Answer("\n".join(lines), {"files": {str(path): rows for path, rows in written.items()}})
