"""What a run's report knows beside the run itself: corpus, cells, fingerprints, notes, who said what."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from flows import cells
from flows.learning import Run
from flows.project import Project
from flows.workspace import Workspace
from model.report.material import Line, ReportContext
from model.report.page import write_report
from pipeline.digest import digest
from pipeline.manifest import Manifest
from pipeline.plan import CellPlan


def write(project: Project, manifest: Manifest, planned: CellPlan, run: Run) -> Path:
    """Write the report of an evaluated run. Returns its path."""
    store = Workspace(project).store()
    try:
        counts = {}
        for modality, wanted in planned.cells.items():
            statuses = store.statuses(cell.fingerprint for cell in wanted)
            counts[modality.value] = dict(Counter(statuses[cell.fingerprint].value for cell in wanted))
    finally:
        store.close()
    lines = {
        utterance: Line(speaker, text)
        for utterance, speaker, text in manifest.table[["utterance", "speaker", "text"]].itertuples(index=False)
    }
    demo = project.is_demo
    context = ReportContext(
        corpus="the demo corpus" if demo else manifest.corpus,
        created=datetime.now(UTC),
        demo=demo,
        notes=tuple(cells.notes(project)),
        cells=counts,
        fingerprints={
            "manifest": manifest.digest,
            "settings": digest(project.model_dump(mode="json", exclude={"workspace", "extract"})),
            "run": digest(run.inputs),
            **{f"{modality} cells": value for modality, value in run.inputs["cells"].items()},
        },
        versions=cells.versions(),
        lines=lines,
    )
    return write_report(run.folder, context)
