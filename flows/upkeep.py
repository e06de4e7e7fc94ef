"""The store's upkeep for a project: what of it is needed, and by whom."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

from flows import cells, learning
from flows.corpus import kept
from flows.project import Project
from flows.workspace import Workspace
from pipeline.digest import digest
from pipeline.errors import StoreError
from pipeline.folder import ShardFolder
from pipeline.garbage import Garbage, find_garbage, remove
from pipeline.plan import CellPlan
from pipeline.reach import decode_reach, encode_reach, read_reach, state_of
from pipeline.store import Store

log = logging.getLogger("bigfusion")


def publish_reach(project: Project, planned: CellPlan | None = None, anew: bool = False) -> None:
    """Say in the shard folder which cells this workspace needs: its manifest's, and those of its runs.

    Does nothing where it says so already, unless ``anew``. ``planned``: the kept manifest's cells, if they are known.

    Raises:
        CorpusError: there is no manifest yet.
        StoreError: a run does not say which cells it needs, or the list cannot be written.
    """
    planned = planned or cells.plan(project, kept(project))
    runs = [run["folder"] for run in learning.runs(project)]
    state = digest([runs, planned.manifest.digest, dict(planned.extractors)])
    folder, name = ShardFolder(project.store), _name(project)
    try:
        if anew or state_of(folder.published(name)) != state:
            folder.publish(name, encode_reach(reached_by_runs(project).union(learning.reached(planned)), state))
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
    folders = (Path(run["folder"]) for run in learning.runs(project))
    return {key.hex() for folder in folders for key in read_reach(folder / learning.CELLS)}


def collect_garbage(project: Project, grace: float, apply: bool) -> Garbage:
    """What of the project's store no workspace needs and is older than ``grace`` seconds; with ``apply`` it is removed.

    Raises:
        StoreError: some list of needed cells cannot be read, or a shard that copies rely on is damaged; nothing was
            removed.
    """
    publish_reach(project, anew=True)
    store = Workspace(project).store()
    try:
        found = find_garbage(store, _everybodys(store), grace)
        if apply:
            remove(store, found)
        return found
    finally:
        store.close()


def _everybodys(store: Store) -> Iterator[bytes]:
    try:
        for place, payload in store.folder.needs():
            yield from decode_reach(payload, place)
    except OSError as error:
        raise StoreError(f"{store.folder}: the store cannot be read ({error.strerror})") from error


def _name(project: Project) -> str:
    """The workspace among others on the same shards, on this machine or another."""
    return digest([socket.gethostname(), str(project.work.resolve())])[:16]
