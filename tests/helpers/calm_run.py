"""What an undisturbed run computes: its stages one after the other in this process, without Prefect.

A project that was killed, filled up or set back in time has to end with these numbers. A command of its own would start
an interpreter and a Prefect server for each comparison, which costs ten times the numbers themselves.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.assemble import assemble
from bigfusion.flows.project.load import load
from bigfusion.flows.project.needs import publish_needs
from bigfusion.flows.project.runs import run_of
from bigfusion.flows.project.settings import Project
from bigfusion.model.runs.folder import seed_folder
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan

_MADE = shutil.ignore_patterns("work", "prefect.yaml")


def calm_run(config: Path, folder: Path) -> Path:
    """Compute in ``folder`` what the project of ``config`` computes, from its files alone. Returns the scored run."""
    from bigfusion.model.scoring.evaluate import evaluate
    from bigfusion.model.training.train import train

    shutil.copytree(config.parent, folder, ignore=_MADE)
    project = load(folder / config.name)
    manifest, planned = extracted(project)
    run, data = run_of(project, manifest, planned), assemble(project, manifest, planned)
    run.begin(planned)
    for seed in run.seeds:
        train(data, project.model, project.train, seed, seed_folder(run.folder, seed))
    evaluate(run.folder, data, run.seeds, project.train.device)
    return run.folder


def extracted(project: Project) -> tuple[Manifest, CellPlan]:
    """Ingest a project's corpus and compute all of its cells."""
    manifest = corpus.ingest(project).manifest
    planned = cells.plan(project, manifest)
    publish_needs(project, planned)
    for feature in planned.features:
        pending = cells.by_length(project, manifest, planned.pending(feature))
        for chunk in cells.chunks(pending, project.extract.chunk_size):
            cells.extract_chunk(project, manifest, chunk, "")
    planned = cells.plan(project, manifest)
    assert planned.pending_count == 0
    return manifest, planned
