"""``train`` and ``evaluate`` on a feature file, in any folder: no project, no settings file, no server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import cells, file_runs
from flows.file_runs import Scored
from flows.options import Answer, Options
from flows.project import load_learning
from flows.workspace import relative
from model.report import ReportContext, table, write_report
from pipeline.errors import SettingsError

HEADLINE = ("weighted_f1", "accuracy", "macro_f1")


def train(options: Options) -> Answer:
    """Train on a feature file."""
    if options.features is None or options.run is None:
        raise SettingsError("train: --features and --out go together: bigfusion train --features FILE --out RUN")
    learning = load_learning(options.config, options.preset, options.settings)
    seeds = file_runs.train(options.features, options.run, learning)
    data = {"run": str(options.run), "seeds": seeds}
    follows = f"bigfusion evaluate --features OTHER --run {options.run}"
    return Answer(f"run {options.run}: seeds {', '.join(map(str, seeds))} trained; next: {follows}", data)


def evaluate(options: Options) -> Answer:
    """Score a feature file, and write the report of it."""
    if options.features is None or options.run is None:
        raise SettingsError("evaluate: --features and --run go together: bigfusion evaluate --features FILE --run RUN")
    scored = file_runs.evaluate(options.features, options.run)
    context = ReportContext(corpus=options.features.stem, created=datetime.now(UTC), versions=cells.versions())
    report = write_report(options.run, context, scored.folder)
    text = f"{table(scored.folder)}\n\nscores    {relative(scored.folder)}\nreport    {relative(report)}"
    return Answer(text, as_json(scored, options.features, options.run, report))


def as_json(scored: Scored, features: Path, run: Path, report: Path) -> dict[str, Any]:
    """``metrics.json`` with each headline score as an object of mean, deviation (none for one seed) and values."""
    data: dict[str, Any] = scored.metrics.model_dump(mode="json")
    deviation = data.pop("std") or {}
    for name in HEADLINE:
        values = [seed[name] for seed in data["seeds"]]
        data[name] = {"mean": data[name], "std": deviation.get(name), "values": values}
    return data | {
        "features": str(features),
        "run": str(run),
        "dialogues": scored.metrics.splits[scored.metrics.scored].dialogues,
        "seen_in_training": scored.seen,
        "paths": {"scores": str(scored.folder.absolute()), "report": str(report.absolute())},
    }
