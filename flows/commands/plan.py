"""``bigfusion plan``: show what a run would do, and why."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from bigfusion.flows.commands import show
from bigfusion.flows.commands.common import Answer, Common, add_seeds
from bigfusion.pipeline.words import duration, numbered

HELP = "say what a run would do and why, and do nothing; exit code 2 if work is pending"

PENDING = 2
"""Exit code when work is pending."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `plan` takes."""
    add_seeds(parser)


def run(common: Common, seeds: int | None) -> Answer:
    """Show what a run would do, and why. Only caches are written."""
    from bigfusion.flows.progress import counted
    from bigfusion.flows.project.estimate import estimate
    from bigfusion.flows.project.preflight import preflight
    from bigfusion.flows.project.standing import look

    project = common.project(seeds=seeds)
    with counted("plan", " files") as progress:
        standing = look(project, progress=progress, trial=common.trial())
    found = preflight(project, standing.plan)
    data = {
        "pending": standing.plan.pending_count + sum(stage.pending for stage in standing.stages),
        "pending_cells": standing.plan.pending_count,
        "cells": standing.plan.counts(),
        "reasons": standing.plan.reasons(),
        "notes": standing.plan.notes(),
        "stages": {stage.name: {"pending": stage.pending, "why": stage.why} for stage in standing.stages},
        "manifest": {"digest": standing.manifest.digest, "changed": standing.changed},
        "run": standing.run.id,
        "estimate": estimate(project, standing.plan, any(s.pending for s in standing.stages if s.name == "train")),
        "preflight": {"stops": found.stops, "warnings": found.warnings, "models": found.models},
    }
    return Answer(_text(data), data, code=PENDING if data["pending"] else 0)


def _text(data: Mapping[str, Any]) -> str:
    lines = [show.cells(data), ""]
    lines += [f"  {reason}" for reason in data["reasons"]]
    lines += [
        f"  {feature}: noted of {number:,} cells: {kind}"
        for feature, counts in data["notes"].items()
        for kind, number in counts.items()
    ]
    for name, stage in data["stages"].items():
        lines.append(f"{name}: {'will run' if stage['pending'] else 'up to date'} ({stage['why']})")
    stages = [name for name, stage in data["stages"].items() if stage["pending"]]
    if data["pending"]:
        lines.append(
            f"\n{numbered(data['pending_cells'], 'cell')} to extract"
            + (f", then {' and '.join(stages)}" if stages else "")
        )
        lines += _estimate(data["estimate"])
        lines += [f"a run would stop: {line}" for line in data["preflight"]["stops"]]
        lines += [f"before a run: {line}" for line in data["preflight"]["warnings"]]
        lines += data["preflight"]["models"]
    else:
        lines.append("\nnothing to do: 0 cells to extract, model up to date")
    return "\n".join(lines)


def _estimate(data: Mapping[str, Any]) -> list[str]:
    """About how long the run will take, and for which parts no estimate exists."""
    known = {name: seconds for name, seconds in data["extract"].items() if seconds is not None}
    parts = [f"{name} {duration(seconds)}" for name, seconds in known.items()]
    if data["train"].get("seconds") is not None:
        parts.append(f"training at most {duration(data['train']['seconds'])}")
    unknown = [name for name in data["extract"] if name not in known]
    lines = [f"about {', '.join(parts)}, going by what was recorded before"] if parts else []
    if unknown:
        lines.append(f"no time recorded yet for {' and '.join(unknown)}")
    if data["first"]:
        first = ", ".join(f"{name} {duration(seconds)}" for name, seconds in data["first"].items())
        lines.append(f"first estimate, from other machines, RoBERTa-large and clips of 3 s: {first}")
    return lines
