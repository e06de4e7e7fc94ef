"""The store's upkeep for a project: what of it is needed, and by whom."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from bigfusion.flows.project import cells, runs
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.project import Project
from bigfusion.flows.project.workspace import Workspace
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.garbage import Garbage, find_garbage, remove
from bigfusion.pipeline.store.needs import decode_reach, encode_reach, read_reach, state_of
from bigfusion.pipeline.store.store import Store

log = logging.getLogger("bigfusion")


def publish_reach(project: Project, planned: CellPlan | None = None, anew: bool = False) -> None:
    """Say in the shard folder which cells this workspace needs: its manifest's, and those of its runs.

    Does nothing where it says so already. What it has said to need of the same manifest under other settings
    (``--set``) stays in the list, unless ``anew``. ``planned``: the kept manifest's cells, if they are known.

    Raises:
        CorpusError: there is no manifest yet.
        StoreError: a run does not say which cells it needs, or list or workspace cannot be written.
    """
    planned = planned or cells.plan(project, kept(project))
    folders = [run["folder"] for run in runs.runs(project)]
    manifest = planned.manifest.digest
    state = f"{manifest} {digest([folders, dict(planned.extractors)])}"
    folder, name = ShardFolder(project.store), Workspace(project).identity()
    try:
        earlier = folder.published(name)
        if anew or state_of(earlier) != state:
            variants = set() if anew or not state_of(earlier).startswith(manifest) else _read(earlier)
            folder.publish(name, encode_reach(_needed(project, planned) | variants, state))
    except OSError as error:
        raise StoreError(
            f"{folder}: the list of needed cells cannot be written ({error.strerror}); make room or correct the"
            " permissions, or `bigfusion gc` of another workspace on this store removes what only this one needs"
        ) from error


def mention_reach(project: Project, planned: CellPlan) -> None:
    """Publish the list where nothing is left to do: if it cannot be, for instance on a read-only store, it is said."""
    try:
        publish_reach(project, planned)
    except StoreError as error:
        log.warning("%s", error)


def reached_by_runs(project: Project) -> set[str]:
    """The fingerprints that the workspace's runs were trained on."""
    folders = (Path(run["folder"]) for run in runs.runs(project))
    return {key.hex() for folder in folders for key in read_reach(folder / runs.CELLS)}


def collect_garbage(project: Project, grace: float, apply: bool) -> Garbage:
    """What of the project's store no workspace needs and is older than ``grace`` seconds; with ``apply`` it is removed.

    This workspace needs what its runs and the present settings do. What somebody comes to need meanwhile stays.

    Raises:
        StoreError: some list of needed cells cannot be read, or a shard that copies rely on is damaged; nothing was
            removed.
    """
    workspace, planned = Workspace(project), cells.plan(project, kept(project))
    if apply:
        publish_reach(project, planned, anew=True)
    store = workspace.store()
    try:
        mine = map(bytes.fromhex, _needed(project, planned))
        found = find_garbage(store, chain(mine, _published(store, but=workspace.identity())), grace)
        if apply:
            still = {(name, why) for name, _, _, why in store.unneeded(set(_published(store)))}
            doomed = [item for item in found.items if not item.is_shard or (item.name, item.why) in still]
            found = replace(found, items=doomed)
            remove(store, found)
        return found
    finally:
        store.close()


def _needed(project: Project, planned: CellPlan) -> set[str]:
    return reached_by_runs(project).union(runs.reached(planned))


def _read(earlier: bytes) -> set[str]:
    try:
        return {key.hex() for key in decode_reach(earlier, "")}
    except StoreError:  # damaged: written anew
        return set()


def _published(store: Store, but: str = "") -> Iterator[bytes]:
    try:
        for place, payload in store.folder.needs(but):
            yield from decode_reach(payload, place)
    except OSError as error:
        raise StoreError(f"{store.folder}: the store cannot be read ({error.strerror})") from error
