"""A plan's pending cells as partitions for workers. Features of networks go to the pool ``gpu``, if there is one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from bigfusion.flows.engine import artifacts
from bigfusion.flows.engine.handout import Job, parameters, wait_for
from bigfusion.flows.engine.patience import patiently
from bigfusion.flows.project import cells
from bigfusion.flows.project.features import settings_of
from bigfusion.flows.project.settings import Project
from bigfusion.flows.stages.partition import in_parts
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.words import numbered, tally

log = logging.getLogger("bigfusion")


def fan_out(project: Project, plan: CellPlan, retry_failed: bool) -> dict[str, dict[str, int]]:
    """Hand out every partition that has pending cells, and wait. Returns the statuses of these cells by feature.

    Raises:
        ExtractionError: a partition failed, or its workers died too often. The work of the others is stored.
    """
    jobs = _jobs(project, plan, retry_failed)
    shown = artifacts.Progress(f"{project.name}-partitions", numbered(len(jobs), "partition"), len(jobs))
    errors = wait_for(jobs, project.runner.attempts, shown.update)
    if errors:
        raise ExtractionError(
            f"{len(errors)} of {numbered(len(jobs), 'partition')} failed, what they finished is stored; run the same"
            f" command again to go on. First error: {errors[0]}"
        )
    return _summary(project, plan)


def _jobs(project: Project, plan: CellPlan, retry_failed: bool) -> list[Job]:
    """A job for each partition that has pending cells. A feature has at most as many partitions as chunks."""
    jobs = []
    for features in cells.joined(project, plan):
        pending = sum(len(plan.parts[feature].pending) for feature in features)
        parts = min(project.runner.partitions, -(-pending // project.extract.chunk_size))
        name, pool = cells.TOGETHER.join(features), _pool(project, features)
        for number in sorted(in_parts(plan, features, parts)):
            more = {"feature": name, "number": number + 1, "parts": parts, "retry_failed": retry_failed}
            deployment = f"partition/{project.runner.deployment}-{pool}"
            jobs.append(Job(f"{name} {number + 1} of {parts}", deployment, parameters(project, **more)))
    return jobs


def _pool(project: Project, features: Sequence[FeatureName]) -> str:
    if project.corpus.kind == "features" or not any(
        hasattr(settings_of(project, feature), "device") for feature in features
    ):
        return "cpu"  # a file is read, or openSMILE runs, for instance
    try:
        with get_client(sync_client=True) as client:
            patiently(lambda: client.read_deployment_by_name(f"partition/{project.runner.deployment}-gpu"))
    except ObjectNotFound:  # deployed without a GPU
        return "cpu"
    return "gpu"


def _summary(project: Project, plan: CellPlan) -> dict[str, dict[str, int]]:
    """The present statuses, in the store, of the cells that were pending.

    Raises:
        ExtractionError: some of the cells are not stored.
    """
    found = {}
    with project.files.store() as store:
        for feature in plan.features:
            wanted = {cell.fingerprint for cell in plan.pending(feature)}
            statuses = store.statuses(wanted)
            if missing := len(wanted - statuses.keys()):
                raise ExtractionError(
                    f"{project.store}: expected {numbered(len(wanted), f'{feature} cell')} from the workers, found"
                    f" {missing} fewer;"
                    " see that every worker has the same store, manifest and version of bigfusion"
                )
            if wanted:
                found[str(feature)] = dict(Counter(status.value for status in statuses.values()))
                log.info("extract: %s: %s", feature, tally(found[str(feature)]))
    return found
