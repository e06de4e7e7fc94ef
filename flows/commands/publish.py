"""``bigfusion publish``: write a trained model as a folder to give away, and upload it if that is wanted."""

from __future__ import annotations

import argparse
from pathlib import Path

from bigfusion.flows.commands.common import Answer, Common, run_folder

HELP = "write a trained model as a folder for others, with a card; or upload it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `publish` takes."""
    parser.add_argument("trained", type=Path, metavar="RUN", help="the run's id or folder")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--push-to-hub", dest="name", metavar="ID", help="also upload it as owner/name; private if it is new there"
    )


def run(common: Common, trained: Path, folder: Path, name: str | None) -> Answer:
    """Write the model of a run into a folder."""
    from bigfusion.flows.project.publish import publish, push
    from bigfusion.flows.project.workspace import relative

    written = publish(run_folder(common, trained), folder)
    lines = [f"{path.stat().st_size:>12,}  {relative(path.resolve())}" for path in written]
    lines.append(f'load it    bigfusion.load("{folder}"), or bigfusion predict VIDEO --model {folder}')
    lines.append(f"licence    yours to choose: {relative((folder / 'README.md').resolve())}")
    address = push(folder, name) if name else None
    if address is not None:
        lines.append(f"uploaded   {address}")
    files = {str(path.relative_to(folder)): path.stat().st_size for path in written}
    return Answer("\n".join(lines), {"folder": str(folder.absolute()), "files": files, "address": address})
