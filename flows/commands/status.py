"""``bigfusion status``: what a workspace holds, which flows run in it, and which ran last."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common
from bigfusion.flows.commands.show import columns, points, size
from bigfusion.flows.commands.store import store_info
from bigfusion.pipeline.errors import CorpusError, ExtractionError, TrainingError
from bigfusion.pipeline.words import numbered

if TYPE_CHECKING:
    from bigfusion.flows.project.settings import Project

HELP = "show the store, the manifest, the runs and the failures"

log = logging.getLogger("bigfusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the settings hold everything."""


def run(common: Common) -> Answer:
    """Show a workspace's store, manifest, runs and failures, and the flows that are running or ran last."""
    import shutil

    from bigfusion.flows.engine.pulse import flow_runs
    from bigfusion.flows.project import corpus

    project = common.project()
    workspace = project.files
    try:
        kept = corpus.kept(project)
        present = {"present": corpus.is_present(project, kept)}
        manifest: dict[str, Any] | None = kept.summary(workspace.manifest) | present
    except CorpusError:  # no manifest yet
        manifest = None
    existing = next(path for path in (workspace.folder, *workspace.folder.parents) if path.exists())
    data = {
        "workspace": str(workspace.folder),
        "store": store_info(project),
        "manifest": None
        if manifest is None
        else {k: v for k, v in manifest.items() if k not in ("skipped", "incomplete")},
        "runs": _runs(project),
        "failures": _failures(project),
        "disk_free_bytes": shutil.disk_usage(existing).free,
        "working": workspace.holder(),
        "flow_runs": flow_runs(project),
    }
    return Answer(_text(data), data)


def _runs(project: Project) -> list[dict[str, Any]]:
    """A summary of every run, oldest first, with the decision on it; ``None`` if there is none."""
    from bigfusion.flows.project import promotion, runs

    try:
        register = promotion.read(project)
    except TrainingError as error:
        log.warning("status: what was decided on the runs is not known: %s", error)
        register = promotion.Register()
    return [
        run | {"decision": decided.decision if (decided := register.of(run["run"])) else None}
        for run in runs.summaries(project)
    ]


def _failures(project: Project) -> dict[str, int] | None:
    """How many cells failed in which way. ``None`` if the extractors cannot say which cells are theirs."""
    from bigfusion.flows.project import cells, corpus

    try:
        counts = cells.plan(project, corpus.kept(project)).failures()
    except CorpusError:  # no manifest yet
        return {}
    except (ExtractionError, OSError) as error:
        log.warning("status: failures are not known: %s", error)
        return None
    return dict(sum(map(Counter, counts.values()), Counter[str]()))


def _text(data: Mapping[str, Any]) -> str:
    store, manifest = data["store"], data["manifest"]
    lines = [f"workspace  {data['workspace']}"]
    if manifest is None:
        lines.append("manifest   none yet; run `bigfusion ingest`")
    else:
        counts = ", ".join(f"{number} {split}" for split, number in manifest["utterances"].items())
        changed = "; settings or labels changed since: run `bigfusion ingest`" if manifest["present"] is False else ""
        lines.append(f"manifest   {manifest['corpus']}: {counts} utterances{changed}")
    lines.append(
        f"store      {numbered(store['cells'], 'cell')} in {numbered(store['shards'], 'shard')},"
        f" {size(store['bytes'])}, {store['path']}"
    )
    if store["frames"]["files"]:
        lines.append(f"frames     {numbered(store['frames']['files'], 'file')}, {size(store['frames']['bytes'])}")
    failed = data["failures"]
    failures = (
        "not known" if failed is None else ", ".join(f"{number} {name}" for name, number in sorted(failed.items()))
    )
    lines.append(f"failures   {failures or 'none'}")
    lines.append(f"disk left  {size(data['disk_free_bytes'])}")
    lines.append(f"working    {'process ' + data['working'] if data['working'] else 'no command at present'}")
    if data["flow_runs"]:
        found = [
            [run["flow"], run["run"], run["state"], run["start"] or "", run["seconds"]] for run in data["flow_runs"]
        ]
        lines += ["", columns(found, ["flow", "run", "state", "start", "seconds"])]
    if data["runs"]:
        rows = [
            [run["run"], run["created"], run["decision"] or run["state"], points(run["weighted_f1"])]
            for run in data["runs"]
        ]
        lines += ["", columns(rows, ["run", "created", "state", "WF1"])]
    return "\n".join(lines)
