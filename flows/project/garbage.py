"""Find and remove everything in a project's store that no workspace needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from bigfusion.flows.project import cells
from bigfusion.flows.project.corpus import kept
from bigfusion.flows.project.needs import needed, publish_needs
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.garbage import Garbage, find_garbage, remove
from bigfusion.pipeline.store.needs import decode_reach
from bigfusion.pipeline.store.store import Store


def collect_garbage(project: Project, grace: float, apply: bool) -> Garbage:
    """Find everything in the store that no workspace needs and that is older than ``grace`` seconds.

    With ``apply``, remove it. This workspace needs the cells of its runs and of the present settings. A shard that
    another workspace starts to need in the meantime stays.

    Raises:
        StoreError: some list of needed cells cannot be read, or a shard that copies rely on is damaged. Nothing was
            removed.
    """
    workspace, planned = project.files, cells.plan(project, kept(project))
    now = None
    if apply:
        publish_needs(project, planned, anew=True)  # also tells the time by the clock that dates the shards
        now = ShardFolder(project.store).published_at(workspace.identity())
    with workspace.store() as store:
        mine = map(bytes.fromhex, needed(project, planned))
        found = find_garbage(store, chain(mine, _published(store, but=workspace.identity())), grace, now)
        if apply:
            still = {(name, why) for name, _, _, why in store.unneeded(set(_published(store)))}
            doomed = [item for item in found.items if not item.is_shard or (item.name, item.why) in still]
            found = replace(found, items=doomed)
            remove(store, found)
        return found


def _published(store: Store, but: str = "") -> Iterator[bytes]:
    try:
        for place, payload in store.folder.needs(but):
            yield from decode_reach(payload, place)
    except OSError as error:
        raise StoreError(f"{store.folder}: the store cannot be read ({error.strerror})") from error
