"""Frames beside vectors: files of their own that a read of vectors never opens, and every command knows them."""

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline.errors import DamagedShardError, FormatError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.sequences import NO_SPAN, Frames, TokenFrames, spans_of
from bigfusion.pipeline.store import frames as framed_store
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.frames import decode_frames, encode_frames
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.store import Store
from tests.helpers.fault_points import KILLED, at_each_point, counted, forked
from tests.helpers.toy_store import cell, check, content, damage, fill, key, keys, origin, paths


def frames(name: str, count: int = 4, width: int = 3) -> Frames:
    values = np.random.default_rng(int(key(name)[:8], 16)).normal(size=(count, width)).astype(np.float32)
    return Frames(values, np.arange(count) * 0.02, tuple("abc"[:width]))


NAMES = [f"c{n}" for n in range(6)]


def fill_framed(store: Store) -> None:
    """Three shards of two cells with frames each, and a failure in the last."""
    for n in range(3):
        names = NAMES[2 * n : 2 * n + 2]
        cells = [cell(name, frames(name, 4 + n).values.mean(0)) for name in names]
        failed = [cell("f", status=Status.SILENT, reason="flat")] if n == 2 else []
        store.commit_framed(
            origin(run=f"f{n}", created=f"2026-02-0{n + 1}"),
            [*cells, *failed],
            {m: frames(x, 4 + n) for m, x in zip(map(key, names), names, strict=True)},
        )


def read_frames(store: Store, names=NAMES) -> dict[str, Frames]:
    keys = [key(name) for name in names]
    found = store.frames(keys, store.frames_places(Modality.AUDIO, keys))
    return {names[row]: one for row, one in found}


def assert_as_written(store: Store, names=NAMES) -> None:
    found = read_frames(store, names)
    assert sorted(found) == sorted(names)
    for name, one in found.items():
        expected = frames(name, 4 + NAMES.index(name) // 2)
        np.testing.assert_array_equal(one.values, expected.values)
        np.testing.assert_array_equal(one.times, expected.times)
        assert one.columns == ("a", "b", "c")


@pytest.fixture
def store(tmp_path) -> Store:
    """Five plain shards and three with frames."""
    store = Store(tmp_path)
    fill(store)
    fill_framed(store)
    return store


def frames_paths(store: Store) -> list[Path]:
    return sorted((store.folder.place / "frames").glob("*.frames"))


def test_frames_come_back_as_they_were_and_vectors_are_read_without_them(store, monkeypatch):
    assert_as_written(store)
    store.frames_file = None  # a read of vectors opens no frames
    read = []
    monkeypatch.setattr(store.folder, "read", lambda name, do=store.folder.read: read.append(name) or do(name))
    features = store.read(Modality.AUDIO, [key(name) for name in [*NAMES, "f", "a1"]])
    np.testing.assert_array_equal(features.values[2], frames("c2", 5).values.mean(0))
    assert features.present.tolist() == [True] * 6 + [False, True]
    assert not any(name.endswith(".frames") for name in read)
    assert store.frames_places(Modality.AUDIO, [key("f"), key("a1")]) == [None, None]


def tokens(name: str, count: int = 3) -> TokenFrames:
    spans = np.array([NO_SPAN, *((n, n + 2) for n in range(count - 1))], np.int32)
    return TokenFrames(frames(name, count).values, None, spans=spans)


def test_spans_of_tokens_come_back_beside_frames_without_and_survive_compaction(tmp_path):
    store = Store(tmp_path)
    told = {"t0": tokens("t0"), "t1": Frames(frames("t1").values, None), "t2": tokens("t2", 5)}
    for named in (["t0", "t1"], ["t2"]):
        cells = [cell(name, told[name].values.mean(0)) for name in named]
        made = {key(name): told[name] for name in named}
        store.commit_framed(origin(modality=Modality.TEXT, run=named[0]), cells, made)
    fingerprints = [key(name) for name in told]

    def check_all() -> None:
        again = Store(tmp_path)
        found = dict(again.frames(fingerprints, again.frames_places(Modality.TEXT, fingerprints)))
        for row, expected in enumerate(told.values()):
            np.testing.assert_array_equal(found[row].values, expected.values)
            assert found[row].times is None
            if row == 1:
                assert spans_of(found[row]) is None
            else:
                np.testing.assert_array_equal(spans_of(found[row]), expected.spans)
                assert spans_of(found[row]).dtype == np.int32

    check_all()
    assert compact(store)
    assert len(frames_paths(store)) >= 1
    check_all()


def test_a_file_without_spans_is_what_it_was_and_is_read_as_ever():
    """Its name holds the SHA-256 of its bytes."""
    name, payload = encode_frames(Modality.AUDIO, {key("c0"): frames("c0")})
    table = pq.read_table(pa.BufferReader(payload))
    assert table.column_names == ["fingerprint", "count", "frames", "times"]
    (found,) = decode_frames(name, payload).frames
    assert type(found) is Frames


def test_spans_that_do_not_fit_are_refused():
    bad = TokenFrames(frames("c0").values, None, spans=np.zeros((2, 2), np.int32))
    with pytest.raises(StoreError, match="expected a span a frame, found 2"):
        encode_frames(Modality.TEXT, {key("c0"): bad})


def test_an_older_program_may_use_a_store_and_its_index_until_there_are_frames(tmp_path):
    store = Store(tmp_path)
    fill(store)
    assert not any("framed" in path.name for path in paths(store))
    assert store.index.query("PRAGMA user_version") == [(2,)]
    fill_framed(store)
    assert store.index.query("PRAGMA user_version") == [(3,)]
    assert sum("framed" in path.name for path in paths(store)) == 3


def test_the_index_can_be_deleted(store, tmp_path):
    before = content(store)
    store.close()
    (tmp_path / "index.sqlite").unlink()
    again = Store(tmp_path)
    assert content(again) == before
    assert_as_written(again)
    assert check(again).findings == []


def test_a_flipped_byte_in_the_frames_is_found_by_every_reader_and_repaired(store, tmp_path):
    victim = frames_paths(store)[0]
    lost = [
        n
        for n, k in ((n, key(n)) for n in NAMES)
        if k in framed_store.decode_frames(victim.name, victim.read_bytes()).fingerprints
    ]
    payload = victim.read_bytes()
    for at in (10, len(payload) // 2, len(payload) - 20):
        damage(victim, at)
        with pytest.raises(DamagedShardError, match=r"SHA-256.*fsck --repair"):
            read_frames(store, lost)
        victim.write_bytes(payload)
    damage(victim)
    with pytest.raises(DamagedShardError, match="SHA-256"):
        compact(store)
    report = check(store)
    assert [(found.kind, found.item) for found in report.findings] == [("frames", victim.name)]
    report = check(store, repair=True)
    assert report.repaired
    assert len(report.set_aside) == 2, "the frames and the shard that names them"
    assert check(store).findings == []
    again = Store(tmp_path)
    assert {name for name in NAMES if key(name) not in again.statuses(map(key, NAMES))} == set(lost)
    assert_as_written(again, [name for name in NAMES if name not in lost])


def test_repair_takes_only_the_cells_whose_frames_are_gone_out_of_a_merged_shard(store, tmp_path, monkeypatch):
    monkeypatch.setattr("bigfusion.pipeline.store.compact.BUDGET", 1)  # frames stay where they are
    compact(store)
    remove(store, find_garbage(store, keys(*NAMES, "f", *[f"{x}{n}" for x in "ab" for n in range(5)]), grace=0))
    victim = frames_paths(store)[1]
    lost = {n for n in NAMES if key(n) in framed_store.decode_frames(victim.name, victim.read_bytes()).fingerprints}
    victim.unlink()
    report = check(store)
    assert [(found.kind, found.item) for found in report.findings] == [("missing", victim.name)]
    check(store, repair=True)
    assert check(store).findings == []
    again = Store(tmp_path)
    assert {name for name in [*NAMES, "f"] if key(name) not in again.statuses(map(key, [*NAMES, "f"]))} == lost
    assert_as_written(again, [name for name in NAMES if name not in lost])


def test_compaction_merges_shards_and_small_frames_files_and_gc_removes_the_old_ones(store, tmp_path):
    assert len(frames_paths(store)) == 3
    written = compact(store)
    assert sorted("framed" in name for name in written) == [False, True]
    assert len(frames_paths(store)) == 4, "nothing is removed"
    assert_as_written(store)
    everything = keys(*NAMES, "f", *[f"{x}{n}" for x in "ab" for n in range(5)])
    assert find_garbage(store, everything, grace=3600).items == []
    garbage = find_garbage(store, everything, grace=0)
    assert sorted(item.why for item in garbage.items) == ["copies"] * 8 + ["frames"] * 3
    remove(store, garbage)
    assert len(frames_paths(store)) == 1
    assert_as_written(store)
    assert find_garbage(store, everything, grace=0).items == []
    assert check(store).findings == []
    assert compact(Store(tmp_path)) == []


def test_the_same_shards_give_the_same_merged_files_on_every_machine(tmp_path):
    names = []
    for machine in "ab":
        store = Store(tmp_path / machine)
        fill_framed(store)
        compact(store)
        names.append(({path.name for path in paths(store)}, {path.name for path in frames_paths(store)}))
    assert names[0] == names[1]


def test_unreached_cells_go_with_their_frames_and_needed_ones_keep_theirs(store):
    remove(store, find_garbage(store, keys("c0"), grace=0))
    assert_as_written(store, ["c0", "c1"])
    assert len(frames_paths(store)) == 1
    assert check(store).findings == []


def test_frames_that_no_shard_names_wait_an_hour_for_one(store):
    """Their writer may be about to name them; or it was killed."""
    (place,) = store.add_frames(Modality.AUDIO, {key("later"): frames("later")}).values()
    everything = keys(*NAMES, "f", *[f"{x}{n}" for x in "ab" for n in range(5)])
    assert find_garbage(store, everything, grace=0).items == []
    assert find_garbage(store, everything, grace=0).young == 1
    os.utime(store.folder.place / "frames" / place.file, (0, 0))
    garbage = find_garbage(store, everything, grace=0)
    assert [(item.why, item.name) for item in garbage.items] == [("frames", place.file)]
    remove(store, garbage)
    assert len(frames_paths(store)) == 3
    assert_as_written(store)


def test_gc_trusts_the_shards_not_the_index(store, caplog):
    store.index.query("DELETE FROM frames")
    for path in frames_paths(store):
        os.utime(path, (0, 0))
    everything = keys(*NAMES, "f", *[f"{x}{n}" for x in "ab" for n in range(5)])
    assert find_garbage(store, everything, grace=0).items == []
    assert "built again from the shards" in caplog.text
    assert_as_written(store)


def test_fsck_finds_an_index_that_forgot_frames(store, tmp_path):
    store.index.query("DELETE FROM frames WHERE shard = (SELECT max(shard) FROM frames)")
    store.close()
    (tmp_path / "index.sqlite-seal").unlink(missing_ok=True)
    assert {found.kind for found in fsck(tmp_path, tmp_path / "index.sqlite").findings} == {"index"}
    fsck(tmp_path, tmp_path / "index.sqlite", repair=True)
    assert fsck(tmp_path, tmp_path / "index.sqlite").findings == []


@pytest.mark.slow
def test_a_kill_at_any_moment_of_a_commit_loses_nothing_that_was_stored(tmp_path):
    points = counted(lambda: fill_framed(Store(tmp_path / "count")), tmp_path / "count")
    for number in range(1, len(points) + 1, 5):  # not 3: a commit has 27, so that each would be killed at the same nine
        place = tmp_path / f"{number}"

        def kill(name: str, at: int, args: tuple, number: int = number) -> None:
            if at == number:
                os.kill(os.getpid(), signal.SIGKILL)

        run = forked(lambda p=place: fill_framed(Store(p)), lambda p=place, k=kill: at_each_point(k, p))
        assert run == KILLED
        if place.exists():
            assert fsck(place, place / "index.sqlite").findings == []
        store = Store(place)
        stored = store.statuses(map(key, NAMES))
        assert_as_written(store, [name for name in NAMES if key(name) in stored])
        fill_framed(store)
        assert_as_written(store)
        assert len(frames_paths(store)) == 3, "what the killed writer left behind was written again"
        assert check(store).findings == []


def test_frames_of_a_newer_format_are_refused_in_one_line(store, tmp_path, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr(shards, "FRAMED_FORMAT", 4)
        later.setattr(framed_store, "FRAMED_FORMAT", 4)
        elsewhere = Store(tmp_path / "later")
        fill_framed(elsewhere)
        elsewhere.close()
    (tmp_path / "later/index.sqlite").unlink()
    for work in (
        lambda: Store(tmp_path / "later"),
        lambda: fsck(tmp_path / "later", tmp_path / "later/index.sqlite", repair=True),
    ):
        with pytest.raises(FormatError, match=r"expected format 3, the newest .* found 4"):
            work()
    assert not (tmp_path / "later/damaged").exists()


def test_frames_that_do_not_fit_are_refused_before_anything_is_written(tmp_path):
    store = Store(tmp_path)
    wrong = frames("c0")
    with pytest.raises(StoreError, match="expected \\(T, F\\) and T times"):
        store.commit_framed(origin(), [cell("c0")], {key("c0"): Frames(wrong.values, wrong.times[:2])})
    with pytest.raises(StoreError, match="expected one width"):
        store.commit_framed(origin(), [cell("c0"), cell("c1")], {key("c0"): wrong, key("c1"): frames("c1", width=2)})
    assert not (tmp_path / "frames").exists()
    one = Frames(wrong.values, None)
    store.commit_framed(origin(), [cell("c0")], {key("c0"): one})
    assert read_frames(store, ["c0"])["c0"].times is None


def test_pieces_keep_their_budget_and_a_larger_one_is_alone():
    assert framed_store.pieces([3, 3, 3, 20, 1, 9, 1], 10) == [[0, 1, 2], [3], [4, 5], [6]]
    assert framed_store.pieces([]) == []


def test_frames_lie_in_a_bucket_too(url, tmp_path):
    store = Store(url, tmp_path / "index.sqlite")
    fill_framed(store)
    assert_as_written(store)
    compact(store)
    remove(store, find_garbage(store, keys(*NAMES, "f"), grace=0))
    assert len(store.folder.frames()) == 1
    assert_as_written(Store(url, tmp_path / "other.sqlite"))
    assert not [path for path in (tmp_path / "shards").iterdir() if path.suffix == ".frames"], (
        "the cache is for vectors"
    )
    store.close()
    assert fsck(url, tmp_path / "index.sqlite").findings == []
