"""The context of a run's report: corpus, cells, fingerprints, notes, speakers and texts."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bigfusion.flows.progress import bar
from bigfusion.flows.project import cells, dialogue_pages, promotion
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.experiments import whole_settings
from bigfusion.flows.project.runs import ABLATIONS, Run, record, trained_model
from bigfusion.flows.project.settings import Project
from bigfusion.model.network_notes import notes as network_notes
from bigfusion.model.report.material import CurrentModel, Line, ReportContext
from bigfusion.model.report.numbers import write_numbers_report
from bigfusion.model.report.page import write_report, write_report_of_folds
from bigfusion.model.runs.files import read_json
from bigfusion.model.scoring.modalities import modality_scores, read_modality_scores, subsets
from bigfusion.model.scoring.number_results import is_regression
from bigfusion.model.scoring.results import Metrics, read_metrics
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan, State
from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.words import numbered

log = logging.getLogger("bigfusion")


def ablations_in(folder: Path) -> dict[str, Any] | None:
    """The ablations that ``bigfusion reproduce --table 4`` wrote into a folder."""
    path = folder / ABLATIONS
    return read_json(path) if path.exists() else None


def said(planned: CellPlan) -> list[str]:
    """Notes on choices that the extractors made, a line for each kind."""
    return [
        f"{feature}: {numbered(number, 'cell')}: {kind}"
        for feature, counts in planned.notes().items()
        for kind, number in counts.items()
    ]


def write(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> Path:
    """Write the report of an evaluated run. Returns its path."""
    if is_regression(run.folder):
        return write_numbers_report(run.folder, _context(project, manifest, planned, run))
    return write_report(run.folder, _context(project, manifest, planned, run))


def write_folds(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> Path:
    """Write the report of a cross-validation, and one of each fold. Returns the path of the first."""
    context = _context(project, manifest, planned, run)
    for fold, folder in run.parts.items():
        write_report(folder, replace(context, corpus=f"{context.corpus}, fold {fold}"))
    return write_report_of_folds(run.folder, run.parts, replace(context, corpus=_title(context.corpus, run.folds)))


def _title(corpus: str, folds: tuple[str, ...]) -> str:
    return f"{corpus}, {len(folds)} folds"


def score_folds(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> Metrics:
    """Score the test split of every fold once, pool them, and write the reports. Returns the pooled scores."""
    from bigfusion.flows.project.folds import fold_data
    from bigfusion.model.scoring.evaluate import evaluate
    from bigfusion.model.scoring.folds import pool

    data = fold_data(project, manifest, planned)
    for fold, folder in run.parts.items():
        evaluate(folder, data[fold], project.train.seeds, project.train.device)
    metrics = pool(run.folder, run.parts, data)
    write_folds(project, manifest, planned, run)
    return metrics


def _context(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> ReportContext:
    counts = {
        feature: {Status.OK.value: states[State.DONE], **planned.failures()[feature]}
        for feature, states in planned.counts().items()
    }
    lines = {
        utterance: Line(speaker, text)
        for utterance, speaker, text in manifest.table[["utterance", "speaker", "text"]].itertuples(index=False)
    }
    demo = project.is_demo
    return ReportContext(
        corpus="the demo corpus" if demo else manifest.corpus,
        created=datetime.now(UTC),
        demo=demo,
        notes=(
            *network_notes(trained_model(project, manifest)),
            *cells.notes(project),
            *manifest.notes,
            *said(planned),
        ),
        cells=counts,
        fingerprints={
            "manifest": manifest.digest,
            "settings": digest(project.model_dump(mode="json", exclude={"workspace", "extract", "promote", "runner"})),
            "run": digest(run.inputs),
            **{f"{feature} cells": value for feature, value in run.inputs["cells"].items()},
        },
        versions=cells.versions(),
        lines=lines,
        pages=dialogue_pages.pages(run.folder),
        ablations=None if run.ablations is None else read_json(run.ablations),
        current=current_model(project, run),
    )


def current_model(project: Project, run: Run) -> CurrentModel | None:
    """The current model, unless it is this run or its record is gone."""
    current = promotion.read(project).current
    if current is None or current == run.id:
        return None
    inputs = record(run.folder.with_name(current)).get("inputs")
    return CurrentModel(current, whole_settings(inputs), whole_settings(run.inputs)) if inputs else None


def score_modalities(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> None:
    """Score an evaluated run without each modality and with each alone, unless that is known, and write its report."""
    metrics = read_metrics(run.folder)
    if read_modality_scores(run.folder, metrics) is not None:
        log.info("evaluate: the scores by modality are up to date")
        return
    data = assemble(project, manifest, planned)
    number = len(subsets(project.model.modalities_of(planned.features))) * len(metrics.seeds)
    with bar("modalities", number, " predictions") as progress:
        modality_scores(run.folder, data, metrics, project.train.device, progress)
    write(project, manifest, planned, run)
