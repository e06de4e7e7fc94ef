"""fsck: damage is found, named and repaired."""

import os
import sqlite3

import pytest

from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.needs import encode_reach
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import check, content, damage, key, keys, paths, shard


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
