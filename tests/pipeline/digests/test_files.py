import os
from pathlib import Path

import pytest

from bigfusion.pipeline.digests import files as d


def settle(path: Path, seconds: float = 60) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


@pytest.fixture
def counted(monkeypatch):
    read = []
    monkeypatch.setattr(d, "file_sha256", lambda path, real=d.file_sha256: (read.append(path), real(path))[1])
    return read


def test_files_are_read_once_and_touch_changes_no_digest(tmp_path, counted):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    cache = tmp_path / "cache.sqlite"
    first = d.FileDigests(cache).of([clip, tmp_path / "absent", tmp_path])
    assert list(first) == [clip]
    assert d.FileDigests(cache).one(clip) == first[clip]
    assert counted == [clip]
    settle(clip, 120)  # a touch
    assert d.FileDigests(cache).one(clip) == first[clip]
    assert counted == [clip, clip]


def test_a_changed_byte_of_equal_size_and_mtime_is_seen(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    before, stat = digests.one(clip), clip.stat()
    clip.write_bytes(b"two")
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # ctime still tells
    assert digests.one(clip) != before


def test_a_file_that_was_just_written_is_not_trusted_to_stay(tmp_path, counted):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    digests.one(clip)
    digests.one(clip)
    assert counted == [clip, clip]


def test_a_file_from_tomorrow_is_read_once(tmp_path, counted):
    """Written before the clock was set back by a day: it has long settled."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip, -86400)
    cache = tmp_path / "cache.sqlite"
    first = d.FileDigests(cache).one(clip)
    assert d.FileDigests(cache).one(clip) == first
    assert counted == [clip]
    clip.write_bytes(b"two")
    assert d.FileDigests(cache).one(clip) != first


@pytest.mark.parametrize("content", [b"not a database" * 100, b"", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_damaged_cache_is_begun_anew(tmp_path, counted, content):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    settle(clip)
    cache.write_bytes(content)
    first = d.FileDigests(cache).one(clip)
    assert d.FileDigests(cache).one(clip) == first
    assert counted == [clip]


def test_a_cache_that_turns_out_to_be_damaged_in_use(tmp_path, caplog):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    settle(clip)
    digests = d.FileDigests(cache)
    digests._database.execute("DROP TABLE files")
    assert digests.one(clip) == d.FileDigests(cache).one(clip)
    assert "not a readable cache" in caplog.text


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path, caplog):
    clip, cache = tmp_path / "clip.mp4", tmp_path / "cache.sqlite"
    clip.write_bytes(b"one")
    cache.mkdir()
    assert d.FileDigests(cache).one(clip) == d.FileDigests().one(clip)
    assert "cannot be used (unable to open" in caplog.text


def test_what_was_hashed_before_an_interrupt_is_remembered(tmp_path, counted):
    paths = [tmp_path / f"{number}" for number in range(50)]
    for path in paths:
        path.write_text(path.name)
        settle(path)
    seen = []

    def interrupt(done: int) -> None:
        seen.append(done)
        if sum(seen) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        d.FileDigests(tmp_path / "cache.sqlite").of(paths, interrupt)
    counted.clear()
    d.FileDigests(tmp_path / "cache.sqlite").of(paths)
    assert set(counted) == {*paths[20:]}


def test_what_was_hashed_before_a_kill_is_remembered_but_for_the_last_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(d, "_REMEMBER_SECONDS", -1.0)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    settle(clip)
    kept = []
    digests, other = d.FileDigests(tmp_path / "cache.sqlite"), d.FileDigests(tmp_path / "cache.sqlite")
    digests.of([clip], lambda done: kept.append(other._remembered({clip: clip.stat()})))
    assert list(kept[-1]) == [clip]


def test_many_files(tmp_path, counted):
    paths = [tmp_path / f"{number}" for number in range(600)]
    for path in paths:
        path.write_text(path.name)
        settle(path)
    digests = d.FileDigests(tmp_path / "cache.sqlite")
    seen = []
    assert digests.of(paths, seen.append) == digests.of(paths)
    assert sum(seen) == 600
    assert len(counted) == 600


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        d.FileDigests().one(tmp_path / "absent")
