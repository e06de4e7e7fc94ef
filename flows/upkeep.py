"""The store's upkeep for a project: what of it is needed, and by whom."""

from __future__ import annotations

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
from pipeline.reach import read_reach, write_reach
from pipeline.store import Store


def publish_reach(project: Project) -> None:
    """Say in the shard folder which cells this workspace needs: its manifest's, and those of its runs.

    Raises:
        CorpusError: there is no manifest yet.
        StoreError: a run does not say which cells it needs, or the list cannot be written.
    """
    mine = reached_by_runs(project)
    planned = cells.plan(project, kept(project))
    mine.update(learning.reached(planned))
    write_reach(ShardFolder(project.store).reach(_name(project)), mine)


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
    publish_reach(project)
    store = Workspace(project).store()
    try:
        found = find_garbage(store, _everybodys(store), grace)
        if apply:
            try:
                remove(store, found)
            except OSError as error:
                raise StoreError(f"{store.folder.path}: files could not be removed ({error.strerror})") from error
        return found
    finally:
        store.close()


def _everybodys(store: Store) -> Iterator[bytes]:
    for path in store.folder.reaches():
        yield from read_reach(path)


def _name(project: Project) -> str:
    """The workspace among others on the same shards, on this machine or another."""
    return digest([socket.gethostname(), str(project.work.resolve())])[:16]
