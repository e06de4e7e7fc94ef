"""Compaction: fewer shards, the same cells."""

import numpy as np

from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.index import DamagedIndexError, Index
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, check, content, keys, origin, paths, placed, shard


def test_compaction_keeps_every_cell_and_where_it_came_from(store):
    before = content(store)
    records = {name: store.record(name) for name in before}
    (name,) = compact(store)
    assert len(paths(store)) == 10
    assert len(shard(placed(store, name))) == 18
    assert {origin.run for origin in shard(placed(store, name)).origins} == {"r0", "r1", "r2"}
    assert content(store) == before
    for kept, record in records.items():
        found = store.record(kept)
        assert (found.run, found.created, found.input) == (record.run, record.created, record.input)
    assert compact(store) == []
    garbage = find_garbage(store, keys(*[f"{kind}{n}" for kind in "ab" for n in range(9)]), grace=0)
    assert {item.why for item in garbage.items} == {"copies"}
    assert len(garbage.items) == 9
    remove(store, garbage)
    assert [path.name for path in paths(store)] == [name]
    assert content(store) == before
    assert check(store).findings == []


def test_an_index_that_is_found_damaged_while_shards_are_merged_is_built_again(store, monkeypatch):
    before, real, calls = content(store), Index.add, []

    def once(self, shard, size):
        calls.append(shard.name)
        if len(calls) == 1:
            raise DamagedIndexError("database disk image is malformed")
        real(self, shard, size)

    monkeypatch.setattr(Index, "add", once)
    (merged,) = compact(store)
    assert calls[0] == merged
    assert placed(store, merged).exists()
    assert content(store) == before
    assert check(store).findings == []


def test_compaction_fills_shards_up_to_their_size_and_mixes_nothing(tmp_path):
    store = Store(tmp_path)
    for n in range(6):
        store.commit(origin(created=f"2026-01-0{n + 1}"), [cell(f"{n}", np.arange(3))])
    store.commit(origin(extractor={"name": "other"}), [cell("x")])
    store.commit(origin(Modality.TEXT), [cell("t")])
    size = max(path.stat().st_size for path in paths(store))
    written = compact(store, target=3 * size)
    assert sorted(len(shard(placed(store, name))) for name in written) == [3, 3]


def test_another_machine_that_knows_nothing_of_it_goes_on_reading(store, tmp_path):
    elsewhere = Store(tmp_path, tmp_path / "elsewhere.sqlite")
    before = content(elsewhere)
    compact(store)
    remove(store, find_garbage(store, keys("a1"), grace=0))
    assert len(paths(store)) == 1
    assert {key: elsewhere.read(Modality.AUDIO, [key]).values[0].tolist() for key in list(before)[:3]} == {
        key: list(value) for key, value in list(before.items())[:3]
    }
