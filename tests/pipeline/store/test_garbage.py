"""gc: nothing that is needed ever goes."""

import os
import sqlite3
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.pipeline.errors import DamagedShardError
from bigfusion.pipeline.schema import Status
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.index import DamagedIndexError, Index
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, check, content, damage, key, keys, origin, paths, placed, shard


def test_gc_keeps_what_is_reached_and_what_is_young(store):
    everything = {path.name for path in paths(store)}
    kept = {path.name for path in paths(store) if {key("a2"), key("b7")} & set(shard(path).fingerprints)}
    assert find_garbage(store, keys("a2", "b7"), grace=3600).items == []
    assert find_garbage(store, keys("a2", "b7"), grace=3600).young == 7
    old = time.time() - 7200
    for path in paths(store):
        os.utime(path, (old, old))
    garbage = find_garbage(store, keys("a2", "b7"), grace=3600)
    assert {item.name for item in garbage.items} == everything - kept
    assert {item.why for item in garbage.items} == {"unreached"}
    remove(store, garbage)
    assert {path.name for path in paths(store)} == kept
    assert store.statuses(map(key, ("a2", "b7", "a0"))) == {key("a2"): Status.OK, key("b7"): Status.OK}


def test_copies_go_only_while_what_they_are_copies_of_is_sound(store):
    before = content(store)
    (name,) = compact(store)
    damage(placed(store, name))
    with pytest.raises(DamagedShardError):
        find_garbage(store, keys("a1"), grace=0)
    assert len(paths(store)) == 10
    check(store, repair=True)
    assert content(Store(store.folder.place)) == before


CELLS = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), min_size=1, max_size=4, unique_by=lambda c: c[0]),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@settings(max_examples=40)
@given(CELLS, st.data())
def test_whatever_is_removed_as_a_copy_every_cell_stays(tmp_path_factory, commits, data):
    """Machines that see different parts of the folder each remove what they take for copies; nothing is lost."""
    folder = tmp_path_factory.mktemp("copies")
    store = Store(folder / "s", folder / "0.sqlite")
    for n, cells in enumerate(commits):
        day = data.draw(st.integers(1, 3))
        made = [cell(name, status=Status.OK if fine else Status.SILENT) for name, fine in cells]
        store.commit(origin(run=str(n), created=f"2026-01-0{day}"), made)
        if data.draw(st.booleans()):
            compact(store)
    before = content(store)
    names = sorted(store.folder.names())
    everything = [bytes.fromhex(name) for name in before]
    doomed = set()
    for view in range(2):
        hidden = set(data.draw(st.lists(st.sampled_from(names), unique=True)))
        machine = Store(folder / "s", folder / f"{view + 1}.sqlite")
        machine.index.drop(hidden)
        doomed |= {item.name for item in find_garbage(machine, everything, grace=0).items if item.why == "copies"}
        machine.close(settle=False)
    for name in doomed:
        placed(store, name).unlink()
    store.refresh()
    assert content(store) == before


EVERYTHING = [f"{kind}{n}" for kind in "ab" for n in range(9)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET fingerprint = randomblob(32)",
        "UPDATE cells SET fingerprint = randomblob(32) WHERE id = 4",
        "UPDATE cells SET shard = 1",
        "UPDATE origins SET created = '2020'",
        "UPDATE shards SET first = first + 2",
        "DELETE FROM cells WHERE id > 1",
        "UPDATE cells SET fingerprint = (SELECT fingerprint FROM cells WHERE id = 0)",
        "UPDATE cells SET utterance = (SELECT utterance FROM cells WHERE id = 0), fingerprint = zeroblob(32)",
        "DROP TABLE origins",
    ],
)
def test_no_damage_of_the_index_makes_gc_remove_what_is_needed(store, tmp_path, statement):
    before = content(store)
    compact(store)
    store.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute(statement)
    database.close()
    store = Store(tmp_path)
    remove(store, find_garbage(store, iter(keys(*EVERYTHING)), grace=0))
    assert content(Store(tmp_path, tmp_path / "new.sqlite")) == before


def test_an_index_that_is_found_damaged_in_the_middle_does_not_lose_the_list_of_what_is_needed(
    store, tmp_path, monkeypatch
):
    """The list may be an iterator: the second try must not find it empty, and all shards unneeded."""
    real, calls = Index.query, []

    def once(self, sql, parameters=()):
        calls.append(sql)
        if "'unreached'" in sql and sum("'unreached'" in call for call in calls) == 1:
            raise DamagedIndexError("database disk image is malformed")
        return real(self, sql, parameters)

    monkeypatch.setattr(Index, "query", once)
    assert find_garbage(store, iter(keys(*EVERYTHING)), grace=0).items == []


def test_a_shard_that_is_lost_while_an_old_index_knows_it_is_no_reason_to_remove_its_copy(store, tmp_path):
    before = content(store)
    (merged,) = compact(store)
    placed(store, merged).unlink()
    garbage = find_garbage(store, keys(*EVERYTHING), grace=0)
    assert garbage.items == []
    assert content(store) == before


def test_a_damaged_shard_is_no_garbage(store, caplog):
    victim = paths(store)[0]
    damage(victim)
    items = find_garbage(store, [], grace=0).items
    assert victim.name not in {item.name for item in items}
    assert len(items) == 8
    assert "left where it is" in caplog.text
