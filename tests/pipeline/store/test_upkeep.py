"""fsck, gc and compaction: damage is found and repaired, nothing that is needed ever goes."""

import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.index import DamagedIndexError, Index
from bigfusion.pipeline.store.needs import decode_reach, encode_reach, read_reach, write_reach
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, content, key, origin, paths, placed, shard


def keys(*names: str) -> list[bytes]:
    return [bytes.fromhex(key(name)) for name in names]


@pytest.fixture
def store(tmp_path) -> Store:
    """Nine shards of two cells each, from three runs, one failure among them."""
    store = Store(tmp_path)
    for n in range(9):
        second = cell(f"b{n}", status=Status.SILENT, reason="flat") if n == 4 else cell(f"b{n}", (n, 1, 1))
        store.commit(origin(run=f"r{n % 3}", created=f"2026-01-0{n + 1}"), [cell(f"a{n}", (n, 0, 0)), second])
    return store


def damage(path: Path, at: int = 300) -> None:
    payload = bytearray(path.read_bytes())
    payload[at] ^= 4
    path.write_bytes(payload)


def check(store: Store, **over):
    store.close()
    return fsck(store.folder.place, store.folder.place / "index.sqlite", **over)


def test_a_sound_store_is_clean(store):
    report = check(store)
    assert (report.shards, report.checked, report.cells, report.findings) == (9, 9, 18, [])
    assert check(store, sample=0.3).checked == 3
    assert check(store, sample=0.001).checked == 1


def test_a_damaged_shard_is_found_repaired_and_its_cells_are_new(store, tmp_path):
    victim = next(path for path in paths(store) if key("a3") in shard(path).fingerprints)
    damage(victim)
    report = check(store)
    assert [(found.kind, found.item) for found in report.findings] == [("shard", victim.name)]
    assert victim.exists()
    report = check(store, repair=True)
    assert report.repaired
    assert report.set_aside == [str(tmp_path / "damaged" / victim.name)]
    assert check(store).findings == []
    names = [f"{kind}{n}" for kind in "ab" for n in range(9)]
    assert set(map(key, names)) - Store(tmp_path).statuses(map(key, names)).keys() == {key("a3"), key("b3")}


def test_a_lost_shard_is_named(store):
    victim = paths(store)[0]
    victim.unlink()
    report = check(store)
    assert [(found.kind, found.item) for found in report.findings] == [("missing", victim.name)]
    assert check(store, repair=True).repaired
    assert check(store).findings == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET status = 'ok' WHERE status = 'silent'",
        "UPDATE cells SET id = id + 100 WHERE id = 3",
        "UPDATE cells SET input = '{}' WHERE id = 1",
        "UPDATE cells SET fingerprint = zeroblob(32) WHERE id = 1",
        "DELETE FROM cells WHERE id = 2",
        "UPDATE shards SET first = first + 2",
        "UPDATE origins SET run = 'another' WHERE id = 1",
        'UPDATE texts SET text = \'{"name": "x"}\' WHERE id = 1',
    ],
)
def test_an_index_that_says_something_else_is_found_and_built_again(store, tmp_path, statement):
    before = content(store)
    store.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute(statement)
    database.close()
    report = check(store)
    assert {found.kind for found in report.findings} == {"index"}
    assert check(store, repair=True).repaired
    assert check(store).findings == []
    assert content(Store(tmp_path)) == before


def test_an_index_that_points_elsewhere_gives_no_wrong_number(store, tmp_path, caplog):
    store.close()
    with sqlite3.connect(tmp_path / "index.sqlite") as database:
        database.execute("UPDATE cells SET fingerprint = ? WHERE fingerprint = zeroblob(32)", keys("a0"))
        database.execute("UPDATE cells SET fingerprint = zeroblob(32) WHERE fingerprint = ?", keys("a0"))
        database.execute("UPDATE cells SET fingerprint = ? WHERE fingerprint = ?", keys("a0", "b0"))
    database.close()
    assert Store(tmp_path).read(Modality.AUDIO, [key("a0")]).values.tolist() == [[0, 0, 0]]
    assert "built again from the shards" in caplog.text


def test_leftovers_are_no_damage_and_go_when_old(store, tmp_path):
    left = tmp_path / "audio/.audio-x.parquet.77-1.tmp"
    left.write_bytes(b"half")
    assert check(store).leftovers == []
    os.utime(left, (0, 0))
    assert check(store).leftovers == [str(left)]
    assert check(store).findings == []
    check(store, repair=True)
    assert not left.exists()


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


def test_what_another_machine_collected_is_no_damage_here_and_what_somebody_needs_is(store, tmp_path):
    Store(tmp_path, tmp_path / "elsewhere.sqlite").close()
    compact(store)
    store.folder.publish("w", encode_reach([key("a1")]))
    remove(store, find_garbage(store, keys("a1"), grace=0))
    assert fsck(tmp_path, tmp_path / "elsewhere.sqlite").findings == []
    Store(tmp_path, tmp_path / "elsewhere.sqlite").close()
    (merged,) = paths(store)
    merged.unlink()
    assert [found.kind for found in fsck(tmp_path, tmp_path / "elsewhere.sqlite").findings] == ["missing"]
    store.folder.publish("w", encode_reach([key("another")]))
    assert fsck(tmp_path, tmp_path / "elsewhere.sqlite").findings == []


def test_a_damaged_list_of_needs_is_a_finding_and_hides_no_other(store, tmp_path):
    lost, torn = paths(store)[:2]
    lost.unlink()
    damage(torn)
    store.folder.publish("v", encode_reach([key("another")]))  # would say that nobody needs what is lost
    store.folder.publish("w", b"PAR1")
    expected = {("shard", torn.name), ("missing", lost.name), ("needs", "w.cells")}
    assert {(found.kind, found.item) for found in check(store).findings} == expected
    report = check(store, repair=True)
    assert report.set_aside == [str(tmp_path / "damaged" / torn.name)]
    assert check(store).findings == []
    assert (tmp_path / "reach/w.cells").read_bytes() == b"PAR1"


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


def test_every_flip_of_a_list_of_needs_is_found_or_means_nothing(tmp_path):
    payload = encode_reach([key(name) for name in "abcdefgh"], "state")
    right = decode_reach(payload, "list")
    found = 0
    for bit in range(0, len(payload) * 8, 3):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_reach(bytes(damaged), "list") == right
        except StoreError:
            found += 1
    assert found > len(payload)


def test_lists_of_what_is_needed(tmp_path):
    path = tmp_path / "reach/w.parquet"
    write_reach(path, [key("b"), key("a"), key("b")])
    assert read_reach(path) == sorted(keys("a", "b"))
    damage(path, 40)
    with pytest.raises(StoreError, match="nothing was removed"):
        read_reach(path)
    with pytest.raises(StoreError, match="found none"):
        read_reach(tmp_path / "absent.parquet")
