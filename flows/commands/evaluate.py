"""``bigfusion evaluate``: the scores of a trained model, on its project or on a feature file."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigfusion.flows.commands.common import Answer, Common, add_features, add_seeds, run_folder, see, without
from bigfusion.flows.commands.flow import run_flow
from bigfusion.flows.commands.results import results
from bigfusion.pipeline.errors import SettingsError, TrainingError
from bigfusion.pipeline.words import quoted

if TYPE_CHECKING:
    from bigfusion.flows.project.file_runs import Scored

HELP = "score the trained model on the test split, once"

log = logging.getLogger("bigfusion")

HEADLINE = ("weighted_f1", "accuracy", "macro_f1", "ece")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `evaluate` takes."""
    parser.add_argument(
        "--run", dest="trained", type=Path, metavar="RUN", help="with --features: the trained run, its id or its folder"
    )
    parser.add_argument(
        "--modalities", action="store_true", help="also score with each modality left out, and with each alone"
    )
    add_features(parser)
    add_seeds(parser)


def run(common: Common, features: Path | None, trained: Path | None, seeds: int | None, modalities: bool) -> Answer:
    """Score the present run's test split once, or score the dialogues of a feature file with a given run."""
    if features or trained:
        without("evaluate --features", "every seed that the run has is scored", seeds=seeds)
        return _on_file(common, features, trained, modalities)
    from bigfusion.flows.project.standing import load

    project = common.project(seeds=seeds)
    standing = load(project)
    training, evaluation = standing.stage("train"), standing.stage("evaluate")
    if training.pending:
        raise TrainingError(f"nothing to evaluate: {training.why}; run `bigfusion train`, or `bigfusion run` for all")

    def flow() -> None:
        from bigfusion.flows.stages.evaluate import evaluate

        evaluate(project)

    if evaluation.pending:
        run_flow(project, common.debug, standing, flow)
    else:
        log.info("evaluate: up to date: %s", evaluation.why)
    if modalities:
        if standing.manifest.has_values:
            raise SettingsError("evaluate --modalities: exists for classes only, found numbers (corpus.task)")
        if standing.run.folds:
            raise SettingsError(
                "evaluate --modalities: expected a single model, found a cross-validation; "
                "--set model.modalities='[\"audio\"]' trains its folds without the others"
            )
        from bigfusion.flows.project.reporting import score_modalities

        score_modalities(project, standing.manifest, standing.plan, standing.run)
        return _with_modalities(results(project, standing.run), standing.run.folder)
    return results(project, standing.run)


def _with_modalities(answer: Answer, folder: Path) -> Answer:
    """The answer, and below it the scores by modality that lie in ``folder``."""
    from bigfusion.flows.commands.show import columns
    from bigfusion.model.scoring.modalities import read_modality_scores
    from bigfusion.model.scoring.results import read_metrics

    found = read_modality_scores(folder, read_metrics(folder))
    assert found is not None  # computed above
    rows, data = [], []
    for row in found.rows:
        score, lost = row.mean.weighted_f1, row.mean.weighted_f1 - found.rows[0].mean.weighted_f1
        less = "" if row is found.rows[0] else f"{100 * lost:+.2f}"
        rows.append([" + ".join(row.modalities), f"{100 * score:.2f}", less, f"{100 * row.mean.accuracy:.2f}"])
        data.append({"modalities": list(row.modalities), "weighted_f1": score, "accuracy": row.mean.accuracy})
    if found.note:
        log.warning("evaluate: %s", found.note)
    shown = columns(rows, ["reads", "weighted F1", "difference", "accuracy"])
    return replace(
        answer,
        text=f"{answer.text}\n\n{shown}",
        data=answer.data | {"modalities": data, "absent_in_training": found.absent},
    )


def _on_file(common: Common, features: Path | None, trained: Path | None, modalities: bool) -> Answer:
    """Score a feature file, and write the report."""
    from datetime import UTC, datetime

    from bigfusion.flows.project import cells, file_runs
    from bigfusion.flows.project.reporting import ablations_in
    from bigfusion.flows.project.workspace import relative
    from bigfusion.model.report.benchmark import caveat
    from bigfusion.model.report.material import ReportContext
    from bigfusion.model.report.page import write_report
    from bigfusion.model.report.table import table

    if features is None or trained is None:
        file, run = quoted(features or "my.parquet"), quoted(trained or "my-run")
        raise SettingsError(
            f"evaluate: --features and --run go together: `bigfusion evaluate --features {file} --run {run}`"
        )
    see(features)
    folder = run_folder(common, trained)
    device = _device(common if folder == trained else replace(common, config=None, preset=None))
    trained = folder
    scored = file_runs.evaluate(features, trained, device, modalities)
    seen = f"{scored.seen} of these dialogues were trained or validated on: their scores are no test."
    if scored.seen is None:
        why = "some modality is absent" if scored.absent else "the run does not say what they hold"
        seen = f"Whether these dialogues were trained or validated on cannot be told: {why}."
    unknown = caveat(scored.metrics.labels, scored.benchmark)
    absent = [f"No {name} in the file: {how}." for name, how in scored.absent.items()]
    context = ReportContext(
        corpus=scored.benchmark or features.stem,
        created=datetime.now(UTC),
        notes=(
            *absent,
            *(f"{line}." for line in scored.unlearned),
            *scored.notes,
            *[seen] * (scored.seen != 0),
            *[unknown] * bool(unknown),
        ),
        fingerprints={"scored dialogues": scored.digest},
        versions=cells.versions(),
        ablations=ablations_in(trained / "reproduction"),
    )
    report = write_report(trained, context, scored.folder)
    text = f"{table(scored.folder)}\n\nscores    {relative(scored.folder)}\nreport    {relative(report)}"
    answer = Answer(text, _data(scored, features, trained, report))
    return _with_modalities(answer, scored.folder) if modalities else answer


def _device(common: Common) -> str:
    """The device to score on. Training has settled every other setting of the run."""
    from bigfusion.flows.project.load import load_learning

    other = [setting for setting in common.assignments if setting.partition("=")[0].strip() != "train.device"]
    remedy = "a run keeps the settings that it was trained with, and train.device alone can be set"
    without("evaluate --features", remedy, config=common.config, preset=common.preset, set=other)
    return load_learning(None, None, common.assignments).train.device


def _data(scored: Scored, features: Path, run: Path, report: Path) -> dict[str, Any]:
    """``metrics.json`` with each headline score as an object: mean, deviation (none for one seed) and values."""
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
        "absent": list(scored.absent),
        "absent_in_training": scored.absent_in_training,
        "paths": {"scores": str(scored.folder.absolute()), "report": str(report.absolute())},
    }
