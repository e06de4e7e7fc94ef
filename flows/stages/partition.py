"""The flow ``partition``: one worker's part of a feature. If the worker dies, another one continues its part."""

from __future__ import annotations

import logging

from prefect import flow

from bigfusion.flows.engine.hooks import HOOKS
from bigfusion.flows.project import cells
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.preflight import preflight, require
from bigfusion.flows.project.settings import Project
from bigfusion.flows.stages.chunks import compute, raise_first
from bigfusion.pipeline import words
from bigfusion.pipeline.plan.plan import PlannedCell
from bigfusion.pipeline.schema import FeatureName

log = logging.getLogger("bigfusion")


def part_of(cell: PlannedCell, parts: int) -> int:
    """The part of a cell, 0 to ``parts`` - 1. It depends only on the fingerprint, not on what is done or pending."""
    return int(cell.fingerprint[:8], 16) % parts


@flow(name="partition", flow_run_name="{feature} {number} of {parts}", **HOOKS)
def partition(
    project: Project, feature: str, number: int, parts: int, retry_failed: bool = False
) -> dict[str, dict[str, int]]:
    """Compute the pending cells of part ``number`` (1 to ``parts``) of a feature. Returns cells by status.

    The flow makes a new plan against the shared store, so that cells which another worker has committed are not
    computed again.

    Raises:
        ExtractionError: chunks or cells failed; the message names the first error.
    """
    manifest = kept(project)
    name = FeatureName(feature)
    planned = cells.plan(project, manifest, retry_failed, [name])
    here = project.model_copy(update={"runner": project.runner.model_copy(update={"kind": "local"})})
    require(preflight(here, planned, training=False))
    mine = [cell for cell in planned.pending(name) if part_of(cell, parts) == number - 1]
    log.info("partition: %s %d of %d: %s", name, number, parts, words.numbered(len(mine), "cell"))
    results, errors = compute(project, manifest, name, mine, f"{number} of {parts}")
    raise_first(errors, results)
    return cells.summary(results)
