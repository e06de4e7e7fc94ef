"""Whole files beside a collector of leftovers, which may take a living writer's temporary file for one."""

import pytest

from bigfusion.pipeline import atomic


def test_a_temporary_file_that_is_taken_for_a_leftover_is_written_again(tmp_path, monkeypatch):
    """A clock that jumps by a day makes every file old; gc of another machine then removes it under the writer."""
    write_all, taken = atomic._write_all, []

    def collected(file, content):
        write_all(file, content)
        if not taken:
            taken.extend(tmp_path.glob(".*.tmp"))
            taken[0].unlink()

    monkeypatch.setattr(atomic, "_write_all", collected)
    atomic.write_whole(tmp_path / "shard.parquet", b"cells")
    assert len(taken) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"shard.parquet": b"cells"}


def test_a_folder_that_is_gone_is_said(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    write_all = atomic._write_all

    def unmounted(file, content):
        write_all(file, content)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()

    monkeypatch.setattr(atomic, "_write_all", unmounted)
    with pytest.raises(FileNotFoundError):
        atomic.write_whole(folder / "shard.parquet", b"cells")
    assert not folder.exists()
