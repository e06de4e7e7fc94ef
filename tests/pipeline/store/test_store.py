import errno
import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline import atomic
from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, key, origin, paths, shard


def test_what_is_written_is_read_in_the_order_asked(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a", (1, 2, 3)), cell("f", status=Status.SILENT, reason="flat"), cell("b", (4, 5, 6))])
    store.commit(origin(), [cell("c", (7, 8, 9))])
    features = store.read(Modality.AUDIO, [key("c"), key("f"), key("a"), key("b"), key("a")])
    assert features.values.tolist() == [[7, 8, 9], [0, 0, 0], [1, 2, 3], [4, 5, 6], [1, 2, 3]]
    assert features.present.tolist() == [True, False, True, True, True]
    assert features.values.dtype == np.float32
    assert store.statuses([key("a"), key("f"), key("z")]) == {key("a"): Status.OK, key("f"): Status.SILENT}
    assert store.failures([key("a"), key("f")]) == {key("f"): (Status.SILENT, "flat")}
    record = store.record(key("f"))
    assert (record.utterance, record.run, record.versions, record.extractor["name"]) == (
        "u/f",
        "r1",
        {"numpy": "2"},
        "t",
    )


def test_a_shard_of_failures_alone(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("f", status=Status.NO_FACE)])
    features = store.read(Modality.AUDIO, [key("f")])
    assert features.values.shape == (1, 0)
    assert not features.present.any()


def test_the_index_can_be_deleted_and_another_machine_reads_the_same(tmp_path):
    store = Store(tmp_path / "s")
    store.commit(origin(), [cell("a"), cell("b", status=Status.SILENT)])
    store.close()
    (tmp_path / "s/index.sqlite").unlink()
    assert Store(tmp_path / "s").statuses([key("a"), key("b")]) == {key("a"): Status.OK, key("b"): Status.SILENT}
    elsewhere = Store(tmp_path / "s", tmp_path / "other.sqlite")
    assert elsewhere.record(key("a")) == Store(tmp_path / "s").record(key("a"))


def test_a_damaged_index_is_built_again(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    store.close()
    for file in tmp_path.glob("index.sqlite-*"):
        file.unlink()
    (tmp_path / "index.sqlite").write_bytes(b"not a database, surely" * 100)
    assert Store(tmp_path).statuses([key("a")]) == {key("a"): Status.OK}


def test_every_flipped_bit_is_found(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell(f"{n}", np.arange(3) + n) for n in range(20)])
    (path,) = paths(store)
    payload = path.read_bytes()
    random = np.random.default_rng(0)
    for bit in random.choice(len(payload) * 8, 200, replace=False):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedShardError, match="SHA-256"):
            store.read(Modality.AUDIO, [key("3")])
    path.write_bytes(payload[:-1])
    with pytest.raises(DamagedShardError):
        store.read(Modality.AUDIO, [key("3")])
    path.write_bytes(payload)
    assert store.read(Modality.AUDIO, [key("3")]).values.tolist() == [[3, 4, 5]]


def test_a_damaged_shard_is_left_out_with_a_warning(tmp_path, caplog):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    (path,) = paths(store)
    path.write_bytes(path.read_bytes()[:-4] + b"abcd")
    store.close()
    (tmp_path / "index.sqlite").unlink()
    assert Store(tmp_path).statuses([key("a")]) == {}
    assert "expected SHA-256" in caplog.text


def test_a_removed_shard_leaves_the_index_and_a_duplicate_takes_over(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a", (1, 1, 1)), cell("b")])
    store.commit(origin(run="r2", created="2026-01-02"), [cell("a", (2, 2, 2)), cell("c")])
    assert store.info()["duplicates"] == 1
    assert store.read(Modality.AUDIO, [key("a")]).values.tolist() == [[1, 1, 1]]
    first = next(path for path in paths(store) if shard(path).origins[0].run == "r1")
    first.unlink()
    store.refresh()
    assert store.statuses([key("a"), key("b"), key("c")]) == {key("a"): Status.OK, key("c"): Status.OK}
    assert store.read(Modality.AUDIO, [key("a")]).values.tolist() == [[2, 2, 2]]


def test_a_retried_failure_gives_way_to_success_whatever_the_order(tmp_path):
    store = Store(tmp_path / "s")
    store.commit(origin(), [cell("a", status=Status.CORRUPT_MEDIA)])
    store.commit(origin(run="r2"), [cell("a", (2, 2, 2))])
    for _ in range(2):
        assert store.statuses([key("a")]) == {key("a"): Status.OK}
        assert store.failures([key("a")]) == {}
        assert store.read(Modality.AUDIO, [key("a")]).values.tolist() == [[2, 2, 2]]
        store.close()
        (tmp_path / "s/index.sqlite").unlink()
        store = Store(tmp_path / "s")


def test_the_same_shard_twice_is_one_file(tmp_path):
    store = Store(tmp_path)
    assert store.commit(origin(), [cell("a")]) == store.commit(origin(), [cell("a")])
    assert len(paths(store)) == 1
    assert store.info()["cells"] == 1


def test_latest_record_of_an_utterance(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("old", utterance="u")])
    store.commit(origin(created="2026-02-01T00:00:00+00:00"), [cell("new", utterance="u")])
    assert store.records("toy", ["u", "x"], Modality.AUDIO).keys() == {"u"}
    assert store.records("toy", ["u"], Modality.AUDIO)["u"].fingerprint == key("new")
    assert store.records("toy", ["u"], Modality.TEXT) == {}
    assert store.records("other", ["u"], Modality.AUDIO) == {}


def test_unknown_cells_and_mixed_widths_are_named(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    store.commit(origin(), [cell("w", (1, 2))])
    with pytest.raises(StoreError, match="not in the store; run `bigfusion extract`"):
        store.read(Modality.AUDIO, [key("z")])
    with pytest.raises(StoreError, match=r"width [23], found [23]"):
        store.read(Modality.AUDIO, [key("a"), key("w")])
    with pytest.raises(StoreError, match="one width"):
        store.commit(origin(), [cell("x"), cell("y", (1, 2))])


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.commit(origin(), [cell("a")])
    monkeypatch.undo()
    assert list((tmp_path / "audio").iterdir()) == []
    store.commit(origin(), [cell("a")])
    assert store.statuses([key("a")]) == {key("a"): Status.OK}


def test_any_parquet_reader_opens_a_shard_and_finds_its_origin(tmp_path):
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    (path,) = paths(store)
    table = pq.read_table(path)
    assert table.column("feature").to_pylist() == [[1.0, 2.0, 3.0]]
    assert shard(path).origins == (origin(),)


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/notes.parquet").write_text("mine")
    assert Store(tmp_path).info()["shards"] == 0


def _write(folder: str, worker: int) -> None:
    store = Store(Path(folder), Path(folder) / f"index-{worker % 2}.sqlite")
    for number in range(10):
        store.commit(origin(run=f"w{worker}"), [cell(f"shared-{number}"), cell(f"{worker}-{number}")])


@pytest.mark.slow
def test_four_processes_on_one_folder_with_two_indexes(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    store = Store(tmp_path)
    names = [key(f"shared-{n}") for n in range(10)] + [key(f"{w}-{n}") for w in range(4) for n in range(10)]
    assert set(store.statuses(names)) == set(names)
    assert store.info()["duplicates"] == 30


def test_of_several_writers_of_a_file_that_is_written_once_the_first_stays(tmp_path):
    path, start, seen = tmp_path / "folder/id", threading.Barrier(8), []

    def write(number: int) -> None:
        start.wait()
        atomic.write_once(path, f"{number}".encode())
        seen.append(path.read_bytes())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [path.read_bytes()] * 8
    assert [one.name for one in path.parent.iterdir()] == ["id"]


def test_a_file_system_without_hard_links_keeps_what_is_written_once(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "link", refused)
    atomic.write_once(tmp_path / "id", b"first")
    assert (tmp_path / "id").read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["id"]
