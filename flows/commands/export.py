"""``bigfusion export``: write the features as plain Parquet with a dataset card, or as other benchmarks read them."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common

HELP = "write the features as plain Parquet with a card, or for MMSA or MERBench"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `export` takes."""
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument(
        "--layout", choices=["parquet", "mmsa", "merbench"], default="parquet",
        help="parquet: a file a split and a card; mmsa: MMSA's pickle; merbench: an array an utterance",
    )  # fmt: skip


def run(common: Common, folder: Path, layout: str) -> Answer:
    """Write the present features and labels into a folder."""
    from bigfusion.flows.project.workspace import relative

    if layout == "parquet":
        from bigfusion.flows.project.exporting import write_export

        written = write_export(common.project(), folder)
        lines = [f"{rows:>8}  {relative(path.resolve())}" for path, rows in written.items()]
        lines.append(f"card      {relative((folder / 'README.md').resolve())}")
        return Answer("\n".join(lines), {"files": {str(path): rows for path, rows in written.items()}})
    from bigfusion.flows.project.export_layouts import write_merbench, write_mmsa

    exported = (write_mmsa if layout == "mmsa" else write_merbench)(common.project(), folder)
    lines = [f"{rows:>8}  {split}" for split, rows in exported.rows.items()]
    lines += [f"written   {relative(path.resolve())}" for path in exported.files]
    lines += [f"note: {note}" for note in exported.notes]
    data = {
        "rows": {split.value: rows for split, rows in exported.rows.items()},
        "files": [str(path) for path in exported.files],
        "notes": list(exported.notes),
    }
    return Answer("\n".join(lines), data)
