"""Compute a plan's pending cells in this process, chunk by chunk, without Prefect: for commands that answer at once.

The cells are those of the flow ``extract``: the same code computes and stores them. Each finished chunk is kept, so an
interrupted command goes on where it stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from bigfusion.flows.progress import bar
from bigfusion.flows.project import cells
from bigfusion.flows.project.estimate import estimate
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.plan.plan import CellPlan, PlannedCell

log = logging.getLogger("bigfusion")

WAIT_SECONDS = 1.0
"""Between two looks at cells that another process on the same shards computes."""


def compute(project: Project, planned: CellPlan, command: str) -> dict[str, int]:
    """Compute and store every pending cell. Returns how many were computed, by feature.

    Raises:
        ExtractionError: an extractor cannot run, or single cells failed with an error that may pass.
    """
    if planned.pending_count:
        log.info("%s: %d cells to compute%s", command, planned.pending_count, _about(project, planned))
    computed: dict[str, int] = {}
    faults: list[str] = []
    for features in cells.joined(project, planned):
        of_feature = {feature: planned.pending(feature) for feature in features}
        computed |= {str(feature): len(pending) for feature, pending in of_feature.items()}
        todo = [cell for pending in of_feature.values() for cell in pending]
        with bar(cells.TOGETHER.join(features), len(todo)) as progress:
            while todo:
                todo = _round(project, planned, todo, command, progress, faults)
                time.sleep(WAIT_SECONDS if todo else 0)
    if faults:
        raise ExtractionError(
            f"{len(faults)} cells failed, what was computed beside them is stored; run the same command again to try"
            f" them again. First error: {faults[0]}"
        )
    return computed


def _round(
    project: Project,
    planned: CellPlan,
    pending: list[PlannedCell],
    command: str,
    progress: Callable[[int], None],
    faults: list[str],
) -> list[PlannedCell]:
    """Compute what no other process holds. Returns the cells that another holds."""
    held: list[PlannedCell] = []
    ordered = cells.by_length(project, planned.manifest, pending)
    for part in cells.chunks(ordered, project.extract.chunk_size):
        for result in cells.extract_chunk(project, planned.manifest, part, command, progress):
            faults += result.faults
            held += [cell for cell in part if cell.feature == result.feature and cell.fingerprint in result.left]
    return held


def _about(project: Project, planned: CellPlan) -> str:
    guess: Mapping[str, Mapping[str, float | None]] = estimate(project, planned, training=False)
    seconds = sum(value or 0 for part in ("extract", "first") for value in guess[part].values())
    return f", about {seconds:.0f} s" if seconds >= 1 else ""
