"""``train``, ``evaluate`` and ``compare`` on files and folders anywhere: no project, no settings file, no server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigfusion.flows.commands import show
from bigfusion.flows.commands.options import Answer, Options, without
from bigfusion.flows.project import cells, file_runs
from bigfusion.flows.project.file_runs import Scored
from bigfusion.flows.project.project import load_learning
from bigfusion.flows.project.reporting import ablations_in
from bigfusion.flows.project.workspace import relative
from bigfusion.model.report.material import ReportContext
from bigfusion.model.report.page import write_report
from bigfusion.model.report.table import table
from bigfusion.model.runs.folder import PREDICTIONS
from bigfusion.model.scoring.compare import Difference
from bigfusion.model.scoring.compare import compare as comparing
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD

HEADLINE = ("weighted_f1", "accuracy", "macro_f1", "ece")


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
    scored = file_runs.evaluate(options.features, options.run, _device(options))
    seen = f"{scored.seen} of these dialogues were trained or validated on: their scores are no test."
    if scored.seen is None:
        seen = (
            "Whether these dialogues were trained or validated on cannot be told: the run does not say what they hold."
        )
    context = ReportContext(
        corpus={IEMOCAP: "iemocap", MELD: "meld"}.get(scored.metrics.labels, options.features.stem),
        created=datetime.now(UTC),
        notes=() if scored.seen == 0 else (seen,),
        fingerprints={"scored dialogues": scored.digest},
        versions=cells.versions(),
        ablations=ablations_in(options.run / "reproduction"),
    )
    report = write_report(options.run, context, scored.folder)
    text = f"{table(scored.folder)}\n\nscores    {relative(scored.folder)}\nreport    {relative(report)}"
    return Answer(text, as_json(scored, options.features, options.run, report))


def _device(options: Options) -> str:
    """Where a run is scored; all else about it was settled by its training."""
    other = [setting for setting in options.settings if setting.partition("=")[0].strip() != "train.device"]
    remedy = "a run keeps the settings that it was trained with, and train.device alone can be set"
    without("evaluate --features", remedy, config=options.config, preset=options.preset, set=other)
    return load_learning(None, None, options.settings).train.device


def as_json(scored: Scored, features: Path, run: Path, report: Path) -> dict[str, Any]:
    """``metrics.json`` with each headline score as an object of mean, deviation (none for one seed) and values."""
    data: dict[str, Any] = scored.metrics.model_dump(mode="json")
    deviation = (data.pop("std") or {}) | {"ece": data.pop("ece_std")}
    for name in HEADLINE:
        values = [seed[name] if name in seed else seed["calibration"][name] for seed in data["seeds"]]
        data[name] = {"mean": data[name], "std": deviation.get(name), "values": values}
    return data | {
        "features": str(features),
        "run": str(run),
        "dialogues": scored.metrics.splits[scored.metrics.scored].dialogues,
        "seen_in_training": scored.seen,
        "paths": {"scores": str(scored.folder.absolute()), "report": str(report.absolute())},
    }


def compare(options: Options) -> Answer:
    """Compare two scored runs, each a run folder or a folder of scores."""
    remedy = "both runs are scored already"
    without("compare", remedy, config=options.config, preset=options.preset, set=options.assignments)
    first, second = _scores(Path(str(options.target))), _scores(Path(str(options.folder)))
    found = comparing(first, second)
    rows = []
    for name, title in (("weighted_f1", "weighted F1"), ("accuracy", "accuracy"), ("macro_f1", "macro F1")):
        one: Difference = getattr(found, name)
        points = [f"{100 * value:.2f}" for value in (one.first, one.second)]
        interval = f"{100 * one.low:+.2f} to {100 * one.high:+.2f}"
        rows.append([title, *points, f"{100 * one.difference:+.2f}", interval, f"{one.p:.4f}"])
    text = show.columns(rows, ["points", "first", "second", "difference", "95 %", "p"])
    text += (
        f"\n\n{found.dialogues} dialogues, {found.utterances} utterances, {found.seeds[0]} and {found.seeds[1]} seeds; "
        f"paired bootstrap, {found.resamples} draws of dialogues"
    )
    data = found.model_dump(mode="json") | {"first": str(first), "second": str(second)}
    return Answer(text, data)


def _scores(folder: Path) -> Path:
    """The folder of a run's scores: itself, or the only one among its ``scores``."""
    if (folder / PREDICTIONS).exists():
        return folder
    found = sorted(path.parent for path in folder.glob(f"scores/*/{PREDICTIONS}"))
    if len(found) != 1:
        what = ", ".join(relative(path.absolute()) for path in found) or "none"
        raise TrainingError(
            f"{folder}: expected a scored run, found {what}; "
            + ("name one of them" if found else "evaluate it first: bigfusion evaluate")
        )
    return found[0]
