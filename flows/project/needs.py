"""Which cells of a store a workspace needs, and the list that tells this to others on the same shards."""

from __future__ import annotations

import logging
from pathlib import Path

from bigfusion.flows.project import cells, runs
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.needs import decode_reach, encode_reach, read_reach, state_of

log = logging.getLogger("bigfusion")


def publish_needs(project: Project, planned: CellPlan | None = None, anew: bool = False) -> None:
    """Publish in the shard folder which cells this workspace needs: those of its manifest and of its runs.

    If the published list is already right, nothing is written. Cells of the same manifest that it lists for other
    settings (``--set``) stay in the list, unless ``anew``. ``planned`` is the plan of the kept manifest, if known.

    Raises:
        CorpusError: there is no manifest yet.
        StoreError: a run does not record which cells it needs, or the list or the workspace cannot be written.
    """
    planned = planned or cells.plan(project, kept(project))
    folders = [run["folder"] for run in runs.runs(project)]
    manifest = planned.manifest.digest
    state = f"{manifest} {digest([folders, dict(planned.extractors)])}"
    folder, name = ShardFolder(project.store), project.files.identity()
    try:
        earlier = folder.published(name)
        if anew or state_of(earlier) != state:
            variants = set() if anew or not state_of(earlier).startswith(manifest) else _read(earlier)
            folder.publish(name, encode_reach(needed(project, planned) | variants, state))
    except OSError as error:
        raise StoreError(
            f"{folder}: the list of needed cells cannot be written ({error.strerror}); make room or correct the"
            " permissions, or `bigfusion gc` of another workspace on this store removes what only this one needs"
        ) from error


def mention_needs(project: Project, planned: CellPlan) -> None:
    """Publish the list when no work is left. A failure, for instance on a read-only store, is only a warning."""
    try:
        publish_needs(project, planned)
    except StoreError as error:
        log.warning("%s", error)


def needed_by_runs(project: Project) -> set[str]:
    """The fingerprints that the workspace's runs were trained on."""
    folders = (Path(run["folder"]) for run in runs.runs(project))
    return {key.hex() for folder in folders for key in read_reach(folder / runs.CELLS)}


def needed(project: Project, planned: CellPlan) -> set[str]:
    """The fingerprints that this workspace needs: those of its runs and of the present settings."""
    return needed_by_runs(project).union(runs.reached(planned))


def _read(earlier: bytes) -> set[str]:
    try:
        return {key.hex() for key in decode_reach(earlier, "")}
    except StoreError:  # damaged: a new list is written
        return set()
