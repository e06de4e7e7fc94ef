"""What a run of the whole road would do now, looked up without Prefect and without writing anything but caches."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bigfusion.flows.project import cells, corpus, promotion, runs
from bigfusion.flows.project.project import Project
from bigfusion.flows.project.runs import Run, Stage
from bigfusion.pipeline.corpora.base import Progress, silent
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan

log = logging.getLogger("bigfusion")


@dataclass(frozen=True)
class Outlook:
    """The corpus as it lies on disk now, its cells, the run that they call for, and the stages still to run."""

    manifest: Manifest
    changed: bool
    planned: CellPlan
    run: Run
    stages: list[Stage]

    @property
    def pending(self) -> bool:
        """Whether anything is to do."""
        return self.changed or bool(self.planned.pending_count) or any(stage.pending for stage in self.stages)

    def say_nothing_to_do(self) -> None:
        """Log that nothing is to do, and why."""
        log.info("nothing to do: 0 cells to extract, model up to date")
        for stage in self.stages:
            log.info("  %s: %s", stage.name, stage.why)


def outlook(project: Project, retry_failed: bool = False, progress: Progress = silent) -> Outlook:
    """Look.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    found = corpus.look(project, progress)
    planned = cells.plan(project, found.manifest, retry_failed)
    run = runs.run_of(project, found.manifest, planned)
    stages = [*runs.stages(project, run, planned), promotion.stage(project, run)]
    return Outlook(found.manifest, found.changed, planned, run, stages)
