"""Reading a folder's shards a few ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from bigfusion.pipeline.store.folder import ShardFolder


def test_what_is_left_half_read_may_be_collected_by_one_of_its_readers(tmp_path: Path):
    """A refused shard leaves the rest unread. Who collects it may be a reader, which cannot wait for itself to end."""
    left, ended, faults = threading.Event(), threading.Event(), list[BaseException]()
    read: list[Iterator[tuple[str, str]]] = []

    def work(name: str) -> str:
        if name == "b":
            left.wait(10)
            try:
                read[0].close()  # type: ignore[attr-defined]  # it is a generator
            except RuntimeError as error:
                faults.append(error)
            ended.set()
        return name

    read.append(ShardFolder(tmp_path).ahead(["a", "b"], work))
    assert next(read[0]) == ("a", "a")
    left.set()
    assert ended.wait(10)
    assert faults == []
