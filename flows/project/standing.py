"""The standing of a project: its manifest, the plan of its cells, the run that belongs to them, and the work left.

Each of these takes seconds to compute. So a standing is loaded once and handed on: a command hands it to its flow, and
a flow hands it to its stages (:func:`handed_on`). It is no parameter of a flow, because Prefect writes parameters into
its database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace

from bigfusion.flows.project import cells, corpus, promotion, runs
from bigfusion.flows.project.corpus import Ingested
from bigfusion.flows.project.runs import Run, Stage
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.corpora.base import Progress, silent
from bigfusion.pipeline.corpora.source import write_source
from bigfusion.pipeline.errors import HeldError, SettingsError, TrainingError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.plan.plan import CellPlan

log = logging.getLogger("bigfusion")


@dataclass(frozen=True)
class Standing:
    """The manifest, its cells, the run that belongs to them, and the stages after them: train, evaluate, promote.

    ``changed`` is true if the manifest comes from a new scan and differs from the one that the workspace keeps, and
    ``scanned`` is what this scan found.
    ``trial`` names the options of a trial (``--set model.width=64``), whose run is never promoted by itself.
    """

    manifest: Manifest
    plan: CellPlan
    run: Run
    stages: tuple[Stage, ...]
    changed: bool = False
    trial: str = ""
    scanned: Ingested | None = None

    @property
    def pending(self) -> bool:
        """Whether any work is left."""
        return self.changed or bool(self.plan.pending_count) or any(stage.pending for stage in self.stages)

    @property
    def ingested(self) -> Ingested:
        """The manifest as a scan found it, or as the workspace keeps it."""
        return self.scanned or Ingested(self.manifest, False, is_kept=True)

    def stage(self, name: str) -> Stage:
        """The stage of this name: ``train``, ``evaluate`` or ``promote``."""
        return next(stage for stage in self.stages if stage.name == name)

    def require_labels(self) -> None:
        """Check that some utterance has a label.

        Raises:
            TrainingError: no utterance has a label.
        """
        if not self.manifest.labels and not self.manifest.has_values:
            raise TrainingError(
                f"{self.manifest.corpus}: nothing to learn: expected utterances with labels, found none with one; "
                "`bigfusion extract` computes the features, corpus.columns.label names the column of labels"
            )

    def say_nothing_to_do(self) -> None:
        """Log that no work is left, and why."""
        log.info("nothing to do: 0 cells to extract, model up to date")
        for stage in self.stages:
            log.info("  %s: %s", stage.name, stage.why)

    def after_extraction(self, project: Project) -> Standing:
        """The standing after the manifest was kept and its cells were computed."""
        return _of(project, self.manifest, False, trial=self.trial)

    def after_training(self, project: Project) -> Standing:
        """The standing after the run was trained. Cells and run are the same; only the stages change."""
        return replace(self, stages=_stages(project, self.run, self.plan, self.trial))


def look(project: Project, retry_failed: bool = False, progress: Progress = silent, trial: str = "") -> Standing:
    """Scan the corpus, plan its cells and list the stages that a run would execute. Writes nothing but caches.

    Raises:
        CorpusError: the corpus is not laid out as its kind expects.
    """
    found = corpus.look(project, progress)
    return replace(_of(project, found.manifest, found.changed, retry_failed, trial), scanned=found)


def load(project: Project, retry_failed: bool = False) -> Standing:
    """The standing of the kept manifest, or of a new scan if settings or labels have changed (:func:`corpus.present`).

    Raises:
        CorpusError: there is no manifest yet, or it is damaged.
    """
    return _of(project, corpus.present(project), False, retry_failed)


def load_kept(project: Project, retry_failed: bool = False) -> Standing:
    """The standing of the kept manifest, whatever has changed since. A flow on a worker goes by it, as its caller does.

    Raises:
        CorpusError: there is no manifest yet, or it is damaged.
    """
    return _of(project, corpus.kept(project), False, retry_failed)


def keep_scanned(project: Project, standing: Standing) -> None:
    """Keep the manifest of a standing that has no cells to extract, if the workspace keeps another one.

    Where only the record of what the same manifest was made from is missing, it is written if nothing is in the way.
    """
    found = standing.ingested
    if found.changed:
        with project.files.exclusive():
            corpus.keep(project, found)
    elif not found.is_kept:
        with suppress(SettingsError, HeldError), project.files.exclusive(patience=0):
            write_source(project.files.source, found.manifest, found.source)


_handed: ContextVar[tuple[Project, Standing] | None] = ContextVar("standing", default=None)


@contextmanager
def handed_on(project: Project, standing: Standing) -> Iterator[None]:
    """Hand a standing to the flows that are called in this block."""
    token = _handed.set((project, standing))
    try:
        yield
    finally:
        _handed.reset(token)


def handed(project: Project) -> Standing | None:
    """The standing that the caller handed on. ``None`` in a flow that a worker or a user started."""
    given = _handed.get()
    return given[1] if given is not None and given[0] == project else None


def _of(project: Project, manifest: Manifest, changed: bool, retry_failed: bool = False, trial: str = "") -> Standing:
    plan = cells.plan(project, manifest, retry_failed)
    run = runs.run_of(project, manifest, plan)
    return Standing(manifest, plan, run, _stages(project, run, plan, trial), changed, trial)


def _stages(project: Project, run: Run, plan: CellPlan, trial: str) -> tuple[Stage, ...]:
    return (*runs.stages(project, run, plan), promotion.stage(project, run, trial))
