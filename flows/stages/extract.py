"""The flow ``extract``: pending cells, here, on workers, or on a Ray cluster."""

from __future__ import annotations

import logging
from typing import Any

from prefect import Flow

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.session import alone
from bigfusion.flows.engine.stage import stage
from bigfusion.flows.progress import together
from bigfusion.flows.project import cells
from bigfusion.flows.project.cells import ChunkResult
from bigfusion.flows.project.needs import mention_needs, publish_needs
from bigfusion.flows.project.preflight import preflight, require
from bigfusion.flows.project.settings import Project
from bigfusion.flows.project.standing import Standing, handed, load_kept
from bigfusion.flows.stages.chunks import compute, raise_first
from bigfusion.flows.stages.fan_out import fan_out

log = logging.getLogger("bigfusion")


@stage("extract {project.name}")
@alone
def extract(project: Project, retry_failed: bool = False) -> dict[str, dict[str, int]]:
    """Compute every new and changed cell of the kept manifest. Returns cells by feature and status.

    Raises:
        ExtractionError: chunks or cells failed; the message names the first error.
    """
    standing = handed(project)
    if standing is None:  # from a worker or a schedule: no command has looked yet
        standing = load_kept(project, retry_failed)
        require(preflight(project, standing.plan, training=False))
    return extract_pending(project, standing, retry_failed)


def extract_pending(project: Project, standing: Standing, retry_failed: bool) -> dict[str, dict[str, int]]:
    """Compute a standing's pending cells, within a flow run. If a chunk fails, the work of the others stays stored.

    Raises:
        ExtractionError: chunks or cells failed; the message names the first error.
    """
    plan = standing.plan
    artifacts.plan(project, plan)
    for line in plan.reasons():
        log.info("extract: %s", line)
    if not plan.pending_count:
        log.info("extract: 0 cells to extract: all fingerprints are in the store")
        mention_needs(project, plan)
        return {}
    publish_needs(project, plan)  # first: another workspace's gc may be about to remove cells that count as done
    if project.runner.kind == "workers":
        return fan_out(project, plan, retry_failed)
    results: list[ChunkResult] = []
    errors: list[BaseException] = []
    with together():
        for features in cells.joined(project, plan):
            pending = [cell for feature in features for cell in plan.pending(feature)]
            found, failed = compute(project, standing.manifest, features, pending)
            results += found
            errors += failed
    raise_first(errors, results)
    return cells.summary(results)


def extraction(project: Project) -> Flow[Any, Any]:
    """The flow ``extract``, with its tasks on the runner that ``runner.kind`` names.

    Raises:
        SettingsError: the runner is Ray, and prefect-ray is not installed.
    """
    if project.runner.kind != "ray":
        return extract
    from bigfusion.flows.engine.ray import on_ray

    return on_ray(extract, project)
