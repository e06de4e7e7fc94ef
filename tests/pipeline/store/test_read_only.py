"""A store and a cache of digests on a place that refuses writes: read all the same, and nothing is written."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from bigfusion.pipeline import readonly
from bigfusion.pipeline.digests import files
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store.store import Store
from tests.helpers.read_only import read_only
from tests.helpers.toy_store import cell, content, fill, key, origin, paths, placed

SAID = "cannot be written; it is read, and nothing is kept there"


@pytest.fixture
def said(caplog):
    readonly._say.cache_clear()
    caplog.set_level(logging.INFO, "bigfusion")
    logging.getLogger("bigfusion").propagate = True
    return caplog


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_a_folder_that_refuses_writes_is_not_writable_and_another_is(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "file").touch()
    assert readonly.writable(inner / "file")
    assert readonly.writable(inner / "new" / "file")
    with read_only(inner):
        assert not readonly.writable(inner / "file")
        assert not readonly.writable(inner / "new" / "file")
        assert readonly.writable(tmp_path / "new")


def test_a_read_only_store_is_read_and_its_plans_are_kept_in_memory(tmp_path, said):
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
        whole = content(store)
    before = state(folder)
    with read_only(folder):
        with Store(folder) as store:
            assert content(store) == whole
            store.keep_plan("a", {"n": 1})
            assert store.kept_plan("a") == {"n": 1}
        with Store(folder) as store:
            assert store.kept_plan("a") is None
    assert state(folder) == before
    assert [line for line in said.messages if SAID in line] == [f"{folder}: {SAID}"]


def test_shards_that_the_index_does_not_know_yet_are_indexed_in_memory(tmp_path):
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
    with Store(folder, tmp_path / "elsewhere.sqlite") as other:
        other.commit(origin(created="2026-02-01"), [cell("late", (7, 7, 7))])
    with read_only(folder), Store(folder) as store:
        assert store.read(Modality.AUDIO, [key("late")]).values.tolist() == [[7, 7, 7]]


def test_what_is_only_in_the_log_beside_a_read_only_index_is_read_too(tmp_path, said):
    """A killed process, or one at work, leaves rows in the log alone. SQLite's ``immutable`` does not look there."""
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
        store.keep_plan("last", {"n": 1})
        for suffix in ("", "-wal"):  # a close would move the log into the file
            shutil.copy(folder / f"index.sqlite{suffix}", tmp_path / f"left{suffix}")
    assert (tmp_path / "left-wal").stat().st_size
    for suffix in ("", "-wal"):
        shutil.copy(tmp_path / f"left{suffix}", folder / f"index.sqlite{suffix}")
    before = state(folder)
    with read_only(folder), Store(folder) as store:
        assert store.kept_plan("last") == {"n": 1}
    assert state(folder) == before


def test_an_index_that_goes_on_changing_is_left_out_and_this_is_said(tmp_path, said, monkeypatch):
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
        whole = content(store)
    ticks = iter(range(100))
    monkeypatch.setattr(readonly, "_state", lambda path: [(next(ticks), 0, 0)])
    with read_only(folder), Store(folder) as store:
        assert content(store) == whole
    assert f"{folder}/index.sqlite: left out, because another process is changing it; computed again in memory" in (
        said.messages
    )


@pytest.mark.parametrize("damage", [b"not a database" * 100, b""])
def test_a_damaged_read_only_index_is_built_again_in_memory(tmp_path, damage):
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
        whole = content(store)
    (folder / "index.sqlite").write_bytes(damage)
    with read_only(folder), Store(folder) as store:
        assert content(store) == whole
    assert (folder / "index.sqlite").read_bytes() == damage


def test_an_index_that_lies_about_a_read_only_store_is_built_again_in_memory(tmp_path):
    folder = tmp_path / "store"
    with Store(folder) as store:
        fill(store)
        whole = content(store)
        placed(store, paths(store)[0].name)
        with store.index.writing():
            store.index.query("UPDATE cells SET id = id + 1000 WHERE id = 0")
    with read_only(folder), Store(folder) as store:
        assert content(store) == whole


def test_known_digests_are_used_and_new_ones_kept_in_memory(tmp_path, monkeypatch, said):
    clips, cache = [tmp_path / name for name in ("a.mp4", "b.mp4")], tmp_path / "work" / "digests.sqlite"
    for clip in clips:
        clip.write_bytes(clip.name.encode())
        os.utime(clip, (1e9, 1e9))
    known = files.FileDigests(cache).one(clips[0])
    read = []
    monkeypatch.setattr(files, "file_sha256", lambda path, real=files.file_sha256: (read.append(path), real(path))[1])
    before = cache.read_bytes()
    with read_only(cache.parent):
        digests = files.FileDigests(cache)
        assert digests.one(clips[0]) == known
        assert digests.one(clips[1]) == digests.one(clips[1])
    assert read == [clips[1]]
    assert cache.read_bytes() == before
    assert not [record for record in said.records if record.levelno > logging.INFO]
