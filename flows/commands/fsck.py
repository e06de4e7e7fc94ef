"""``bigfusion fsck``: check and repair the shards and the index."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.pipeline.store.fsck import Finding

HELP = "check every shard, all frames and the index; exit code 3 if damage is found"

DAMAGED = 3
"""Exit code when damage was found, repaired or not."""
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `fsck` takes."""
    parser.add_argument("--sample", type=_share, default=1.0, metavar="SHARE", help="of the shards, for instance 10%%")
    parser.add_argument("--repair", action="store_true", help="set damaged shards aside and build the index anew")


def run(common: Common, sample: float, repair: bool) -> Answer:
    """Check every shard and frames file, or a sample of them, and compare the index with them."""
    from dataclasses import asdict

    from bigfusion.flows.progress import counted
    from bigfusion.pipeline.store import fsck

    project = common.project()
    workspace = project.files
    with workspace.exclusive(), counted("fsck", " shards") as progress:
        report = fsck.fsck(project.store, workspace.index, sample, repair, progress)
    frames = f", {numbered(report.frames, 'frames file')}" if report.frames else ""
    lines = [f"{report.checked} of {report.shards} shards{frames} and {report.cells} cells are as they were written"]
    lines += [f"{found.kind}: {_named(found)}" for found in report.findings[:_SHOWN]]
    if len(report.findings) > _SHOWN:
        lines.append(f"... and {len(report.findings) - _SHOWN} more (--json lists all)")
    if report.leftovers:
        lines.append(f"{len(report.leftovers)} temporary files of killed writers (no damage)")
    if report.repaired:
        lines.append(
            f"repaired: {numbered(len(report.set_aside), 'file')} set aside, index built anew; `bigfusion plan` shows"
            " their cells"
        )
    elif report.findings:
        lines.append("`bigfusion fsck --repair` sets damaged shards aside and builds the index anew")
    data = {
        "shards": report.shards,
        "checked": report.checked,
        "cells": report.cells,
        "frames": report.frames,
        "findings": [asdict(found) for found in report.findings],
        "leftovers": report.leftovers,
        "set_aside": report.set_aside,
        "repaired": report.repaired,
    }
    return Answer("\n".join(lines), data, code=DAMAGED if report.findings else 0)


def _named(found: Finding) -> str:
    return found.problem if found.item in found.problem else f"{found.item}: {found.problem}"


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 10% or 0.1, found {text!r}")
    return share
