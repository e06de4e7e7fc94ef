"""A disk that is full under Prefect's own database ends the command, but only if it stays full."""

import errno
from pathlib import Path

import pytest

from bigfusion.flows.engine import full_disk


class Ended(Exception):
    """In place of the process's end."""


@pytest.mark.parametrize(
    ("full", "ends_after"),
    [("x" * 20, 35), ("." * 20, None), ("xxxxxx" + "." + "xxxxxx" + "." * 7, None), ("..." + "x" * 17, 50)],
)
def test_only_a_disk_that_stays_full_for_half_a_minute_ends_the_command(monkeypatch, full, ends_after):
    clock, said = [0.0], []

    def over(seconds: float) -> bool:
        clock[0] += seconds
        return clock[0] > seconds * len(full)

    def end(line: str, code: int) -> None:
        said.append((line, code))
        raise Ended

    monkeypatch.setattr(full_disk.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(full_disk, "is_full", lambda home: full[int(clock[0] / 5) - 1] == "x")
    monkeypatch.setattr(full_disk, "end_at_once", end)
    if ends_after is None:
        full_disk._watch(Path("home"), over)
        assert said == []
        return
    with pytest.raises(Ended):
        full_disk._watch(Path("home"), over)
    assert clock[0] == ends_after
    ((line, code),) = said
    assert code == 1
    assert line.startswith("bigfusion: home: No space left on device")
    assert "\n" not in line


def test_a_disk_is_full_when_it_takes_no_more_pages_and_nothing_is_left_of_the_try(tmp_path, monkeypatch):
    assert not full_disk.is_full(tmp_path)

    said = [0]

    def refuse(*_: object) -> None:
        raise OSError(said[0], "refused")

    monkeypatch.setattr(full_disk.os, "posix_fallocate", refuse)
    for said[0], full in ((errno.EDQUOT, True), (errno.ENOSPC, True), (errno.EIO, False)):
        assert full_disk.is_full(tmp_path) == full
    assert list(tmp_path.iterdir()) == []
