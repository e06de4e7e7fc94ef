"""What the commands on the store do: fsck, gc, store info, store compact."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict
from typing import Any

from bigfusion.flows.commands.options import Answer, Options
from bigfusion.flows.commands.show import columns, size
from bigfusion.flows.progress import bar, counted
from bigfusion.flows.project import upkeep
from bigfusion.flows.project.workspace import Workspace
from bigfusion.pipeline.store import compact as compacting
from bigfusion.pipeline.store import fsck as checking
from bigfusion.pipeline.store.folder import ShardFolder

log = logging.getLogger("bigfusion")

DAMAGED = 3
"""Exit code of fsck where it found damage, repaired or not."""
_SHOWN = 10


def fsck(options: Options) -> Answer:
    """Check every shard, or a sample, and the index against them."""
    mine = options.project()
    workspace = Workspace(mine)
    with workspace.exclusive(), counted("fsck", " shards") as progress:
        report = checking.fsck(mine.store, workspace.index, options.sample, options.repair, progress)
    lines = [f"{report.checked} of {report.shards} shards and {report.cells} cells are as they were written"]
    lines += [f"{found.kind}: {_named(found)}" for found in report.findings[:_SHOWN]]
    if len(report.findings) > _SHOWN:
        lines.append(f"... and {len(report.findings) - _SHOWN} more (--json lists all)")
    if report.leftovers:
        lines.append(f"{len(report.leftovers)} temporary files of killed writers (no damage)")
    if report.repaired:
        lines.append(
            f"repaired: {len(report.set_aside)} shards set aside, index built anew; `bigfusion plan` shows their cells"
        )
    elif report.findings:
        lines.append("`bigfusion fsck --repair` sets damaged shards aside and builds the index anew")
    data = {
        "shards": report.shards,
        "checked": report.checked,
        "cells": report.cells,
        "findings": [asdict(found) for found in report.findings],
        "leftovers": report.leftovers,
        "set_aside": report.set_aside,
        "repaired": report.repaired,
    }
    return Answer("\n".join(lines), data, code=DAMAGED if report.findings else 0)


def _named(found: checking.Finding) -> str:
    return found.problem if found.item in found.problem else f"{found.item}: {found.problem}"


def gc(options: Options) -> Answer:
    """Find what no manifest and no run needs; remove it with ``--apply``."""
    mine = options.project()
    shelf = ShardFolder(mine.store)
    with Workspace(mine).exclusive():
        found = upkeep.collect_garbage(mine, options.grace * 3600, options.apply)
    counts = Counter(item.why for item in found.items)
    total = sum(item.bytes for item in found.items)
    lines = [f"{item.why:<9}  {size(item.bytes):>10}  {item.name}" for item in found.items[:_SHOWN]]
    if len(found.items) > _SHOWN:
        lines.append(f"... and {len(found.items) - _SHOWN} more (--json lists all)")
    what = ", ".join(f"{number} {why}" for why, number in sorted(counts.items())) or "nothing"
    done = "removed" if options.apply else "would be removed; nothing was, `--apply` does it"
    lines.append(f"{what}, {size(total)}: {done}" if found.items else "nothing to remove")
    if found.young:
        lines.append(f"{found.young} more are younger than {options.grace:g} hours (--grace)")
    items = [
        {"path": shelf.objects.shown(i.key), "why": i.why, "bytes": i.bytes, "cells": i.cells} for i in found.items
    ]
    return Answer("\n".join(lines), {"items": items, "bytes": total, "young": found.young, "applied": options.apply})


def store(options: Options) -> Answer:
    """``store info`` or ``store compact``."""
    return info(options) if options.target == "info" else compact(options)


def info(options: Options) -> Answer:
    """What the store holds."""
    workspace = Workspace(options.project())
    opened = workspace.store()
    try:
        data = opened.info()
        data["small"] = len(opened.small(compacting.TARGET // 2))
        data["extractors"] = opened.extractors()
    finally:
        opened.close()
    statuses = sorted(
        {status for counts in data["statuses"].values() for status in counts}, key=lambda s: (s != "ok", s)
    )
    rows = [[name, *(counts.get(status, 0) for status in statuses)] for name, counts in data["statuses"].items()]
    lines = [
        f"store   {data['path']}",
        f"index   {data['index']}",
        f"holds   {data['cells']} cells, {data['duplicates']} of them copies, in {data['shards']} shards,"
        f" {size(data['bytes'])}",
    ]
    if rows:
        lines += ["", columns(rows, ["cells", *statuses]), "", _extractors(data["extractors"])]
    if data["small"] > 1:
        lines.append(f"\n{data['small']} small shards: `bigfusion store compact` merges them")
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


def compact(options: Options) -> Answer:
    """Merge small shards into larger ones; the small ones stay until gc."""
    mine = options.project()
    workspace = Workspace(mine)
    with workspace.exclusive():
        opened = workspace.store()
        try:
            small = len(opened.small(compacting.TARGET // 2))
            with bar("compact", small, " shards") as progress:
                written = compacting.compact(opened, progress=progress)
            left = len(opened.small(compacting.TARGET // 2))
        finally:
            opened.close()
    text = f"{small} small shards, {len(written)} written, {left} small ones left"
    if written:
        text += "; `bigfusion gc --apply` removes those that hold nothing but copies now"
    return Answer(text, {"small": small, "written": written, "left": left})
