"""``bigfusion gc``: list or remove the shards and frames that nothing needs any more."""

from __future__ import annotations

import argparse
from collections import Counter

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.show import size

HELP = "list the shards that no manifest and no run needs, or remove them"

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `gc` takes."""
    parser.add_argument("--apply", action="store_true", help="remove them; without it nothing is changed")
    parser.add_argument(
        "--grace", type=_hours, default=24.0, metavar="HOURS", help="leave what is younger (default: 24)"
    )


def run(common: Common, apply: bool, grace: float) -> Answer:
    """Find everything that no manifest and no run needs. With ``--apply``, remove it."""
    from bigfusion.flows.project.garbage import collect_garbage
    from bigfusion.pipeline.store.folder import ShardFolder

    project = common.project()
    shelf = ShardFolder(project.store)
    with project.files.exclusive():
        found = collect_garbage(project, grace * 3600, apply)
    counts = Counter(item.why for item in found.items)
    total = sum(item.bytes for item in found.items)
    lines = [f"{item.why:<9}  {size(item.bytes):>10}  {item.name}" for item in found.items[:_SHOWN]]
    if len(found.items) > _SHOWN:
        lines.append(f"... and {len(found.items) - _SHOWN} more (--json lists all)")
    what = ", ".join(f"{number} {why}" for why, number in sorted(counts.items())) or "nothing"
    done = "removed" if apply else "would be removed; nothing was, `--apply` does it"
    lines.append(f"{what}, {size(total)}: {done}" if found.items else "nothing to remove")
    if found.young:
        lines.append(f"{found.young} more are younger than {grace:g} hours (--grace)")
    items = [
        {"path": shelf.objects.shown(i.key), "why": i.why, "bytes": i.bytes, "cells": i.cells} for i in found.items
    ]
    return Answer("\n".join(lines), {"items": items, "bytes": total, "young": found.young, "applied": apply})


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < 1e6:
        raise argparse.ArgumentTypeError(f"expected hours, 0 or more, found {text!r}")
    return hours
