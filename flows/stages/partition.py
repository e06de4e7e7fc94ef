"""The flow ``partition``: one worker's part of a feature, or of several that share a look at the media.

If the worker dies, another one continues its part.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bigfusion.flows.engine.stage import stage
from bigfusion.flows.project import cells
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.preflight import preflight, require
from bigfusion.flows.project.settings import Project
from bigfusion.flows.stages.chunks import compute, raise_first
from bigfusion.pipeline import words
from bigfusion.pipeline.plan.plan import CellPlan, PlannedCell
from bigfusion.pipeline.schema import FeatureName

log = logging.getLogger("bigfusion")


def in_parts(planned: CellPlan, features: Sequence[FeatureName], parts: int) -> dict[int, list[PlannedCell]]:
    """The pending cells of features by the part that they are in, 0 to ``parts`` - 1.

    An utterance's part depends only on its fingerprint for the first feature, not on what is done or pending.
    """
    pending = [cell for feature in features for cell in planned.pending(feature)]
    first = {cell.utterance: cell.fingerprint for cell in pending}
    if len(features) > 1:
        names = planned.manifest.table["utterance"]
        first = dict(zip(names, planned.fingerprints(features[0]), strict=True))
    found: dict[int, list[PlannedCell]] = {}
    for cell in pending:
        found.setdefault(int(first[cell.utterance][:8], 16) % parts, []).append(cell)
    return found


@stage("{feature} {number} of {parts}")
def partition(
    project: Project, feature: str, number: int, parts: int, retry_failed: bool = False
) -> dict[str, dict[str, int]]:
    """Compute the pending cells of part ``number`` (1 to ``parts``) of a feature. Returns cells by feature and status.

    ``feature`` may name several that share a look at the media, with :data:`cells.TOGETHER` between them.

    The flow makes a new plan against the shared store, so that cells which another worker has committed are not
    computed again.

    Raises:
        ExtractionError: chunks or cells failed; the message names the first error.
    """
    manifest = kept(project)
    features = [FeatureName(name) for name in feature.split(cells.TOGETHER)]
    planned = cells.plan(project, manifest, retry_failed, features)
    here = project.model_copy(update={"runner": project.runner.model_copy(update={"kind": "local"})})
    require(preflight(here, planned, training=False))
    mine = in_parts(planned, features, parts).get(number - 1, [])
    log.info("partition: %s %d of %d: %s", feature, number, parts, words.numbered(len(mine), "cell"))
    results, errors = compute(project, manifest, features, mine, f"{number} of {parts}")
    raise_first(errors, results)
    return cells.summary(results)
