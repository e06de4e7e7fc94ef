"""``bigfusion store info`` shows what the store holds; ``bigfusion store compact`` merges small shards."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.show import columns, size
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project

HELP = "store info: what the store holds; store compact: merge small shards"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `store` takes."""
    parser.add_argument("action", choices=["info", "compact"], metavar="info|compact")


def run(common: Common, action: str) -> Answer:
    """Run ``store info`` or ``store compact``."""
    return _info(common.project()) if action == "info" else _compact(common.project())


def store_info(project: Project) -> dict[str, Any]:
    """The contents of the store, in numbers."""

    with project.files.store() as store:
        return store.info()


def _info(project: Project) -> Answer:
    from bigfusion.pipeline.store.compact import TARGET

    with project.files.store() as opened:
        data = opened.info()
        data["small"] = len(opened.small(TARGET // 2))
        data["extractors"] = opened.extractors()
    statuses = sorted(
        {status for counts in data["statuses"].values() for status in counts}, key=lambda s: (s != "ok", s)
    )
    rows = [[name, *(counts.get(status, 0) for status in statuses)] for name, counts in data["statuses"].items()]
    lines = [
        f"store   {data['path']}",
        f"index   {data['index']}",
        f"holds   {numbered(data['cells'], 'cell')}, {data['duplicates']:,} of them copies, in"
        f" {numbered(data['shards'], 'shard')},"
        f" {size(data['bytes'])}",
    ]
    if data["frames"]["files"]:
        lines.append(f"frames  {numbered(data['frames']['files'], 'file')}, {size(data['frames']['bytes'])}")
    if rows:
        lines += ["", columns(rows, ["cells", *statuses]), "", _extractors(data["extractors"])]
    if data["small"] > 1:
        lines.append(f"\n{numbered(data['small'], 'small shard')}: `bigfusion store compact` merges them")
    return Answer("\n".join(lines), data)


def _extractors(rows: list[dict[str, Any]]) -> str:
    header = ["made by", "modality", "corpus", "cells", "seconds a cell", "last"]
    shown = [
        [
            row["name"],
            row["modality"],
            row["corpus"],
            row["cells"],
            f"{row['seconds'] / max(row['cells'], 1):.3f}",
            row["last"],
        ]
        for row in rows
    ]
    return columns(shown, header)


def _compact(project: Project) -> Answer:
    """Merge small shards into larger ones. The small shards stay until ``gc`` removes them."""
    from bigfusion.flows.progress import bar
    from bigfusion.pipeline.store.compact import TARGET, compact

    workspace = project.files
    with workspace.exclusive(), workspace.store() as opened:
        small = len(opened.small(TARGET // 2))
        with bar("compact", small, " shards") as progress:
            written = compact(opened, progress=progress)
        left = len(opened.small(TARGET // 2))
    text = f"{numbered(small, 'small shard')}, {len(written)} written, {numbered(left, 'small one')} left"
    if written:
        text += "; `bigfusion gc --apply` removes those that hold nothing but copies now"
    return Answer(text, {"small": small, "written": written, "left": left})
