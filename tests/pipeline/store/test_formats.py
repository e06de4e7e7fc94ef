"""A store of a newer version is refused in one line and left as it is; an older index is built again."""

import sqlite3

import pytest

from bigfusion.pipeline.errors import FormatError
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import cell, content, origin, paths


def newer_shard(store: Store, monkeypatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(shards, "FORMAT", shards.FORMAT + 1)
        name, payload = shards.encode([origin(run="later")], [cell("later")])
    store.folder.write(name, payload)


def test_a_shard_of_a_newer_format_is_no_damage_and_stops_every_command(store, tmp_path, monkeypatch):
    newer_shard(store, monkeypatch)
    store.close()
    before = {path: path.read_bytes() for path in paths(store)}
    for work in (
        lambda: Store(tmp_path),
        lambda: Store(tmp_path, tmp_path / "elsewhere.sqlite"),
        lambda: fsck(tmp_path, tmp_path / "index.sqlite"),
        lambda: fsck(tmp_path, tmp_path / "index.sqlite", repair=True),
    ):
        with pytest.raises(FormatError, match=r"audio-.*expected format 2, the newest .* found 3: .*use that version"):
            work()
    assert {path: path.read_bytes() for path in paths(store)} == before, "nothing was set aside"


def test_a_damaged_byte_is_not_taken_for_a_newer_format(store, tmp_path, monkeypatch, caplog):
    newer_shard(store, monkeypatch)
    store.close()
    newest = max(paths(store), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes().replace(b"later", b"latex"))
    again = Store(tmp_path)
    assert "expected SHA-256" in caplog.text
    assert len(content(again)) == 18


def test_an_index_of_a_newer_version_is_left_alone_and_one_of_an_older_is_built_again(store, tmp_path, caplog):
    before = content(store)
    store.close()
    index = tmp_path / "index.sqlite"

    def numbered(number: int) -> None:
        database = sqlite3.connect(index)
        database.execute(f"PRAGMA user_version = {number}")
        database.close()
        (tmp_path / "index.sqlite-seal").unlink(missing_ok=True)

    numbered(99)
    payload = index.read_bytes()
    for work in (lambda: Store(tmp_path), lambda: fsck(tmp_path, index), lambda: fsck(tmp_path, index, repair=True)):
        with pytest.raises(FormatError, match=r"index\.sqlite: expected format 3, the newest .* found 99: "):
            work()
    assert index.read_bytes() == payload
    numbered(1)
    assert content(Store(tmp_path)) == before
    assert "earlier version" in caplog.text
