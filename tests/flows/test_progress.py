"""Bars and lines of the log share a terminal: no line is torn. Without a terminal there are only lines."""

import fcntl
import logging
import os
import re
import struct
import sys
import termios
import threading
import time

import pytest

from bigfusion.flows import logs, progress
from bigfusion.pipeline import words

COLUMNS = 60


class Screen:
    """What a person sees of all that is written to a pseudo-terminal."""

    def __init__(self, lines: int = 100) -> None:
        pyte = pytest.importorskip("pyte", reason="shows what a terminal would")
        self.screen = pyte.Screen(COLUMNS, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, COLUMNS, 0, 0))
        self.file = os.fdopen(slave, "w", encoding="utf-8")
        self.seen: list[list[str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "Screen":
        """Be standard error. Pytest sets its own at the beginning of each phase, so a fixture cannot do this."""
        self._before, sys.stderr = sys.stderr, self.file
        logs.set_up(debug=False, as_json=False)
        return self

    def __exit__(self, *error: object) -> None:
        sys.stderr = self._before
        logs.log.handlers = []

    def _read(self) -> None:
        while written := os.read(self._master, 1 << 16):
            self._stream.feed(written)
            self.seen.append(self.rows())

    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display if row.strip()]

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while not any(text in row for row in self.rows()):
            assert time.monotonic() < deadline, self.rows()
            time.sleep(0.01)


@pytest.fixture
def terminal(monkeypatch):
    """A terminal, and bars that appear at once."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setattr(progress, "_SILENT_SECONDS", 0.0)
    return Screen()


def test_no_line_is_torn_by_two_bars_and_nothing_of_them_is_left(terminal):
    with terminal:
        said = [f"{number}: " + "x" * (1 + number % 50) for number in range(40)]
        with progress.bar("text", 40) as outer, progress.bar("visual [b]", 80, " epochs") as inner:
            terminal.wait_for("visual [b]")
            for line in said:
                logs.log.info("%s", line)
                outer(1)
                inner(2)
            terminal.wait_for("40 of 40 cells")
            terminal.wait_for("80 of 80 epochs")
        logs.log.info("the end")
        terminal.wait_for("the end")
        assert terminal.rows() == [*said, "the end"]
        torn = [row for rows in terminal.seen for row in rows if not (row in said or _is_bar(row))]
    assert [row for row in torn if not any(line.startswith(row) for line in [*said, "the end"])] == []


def _is_bar(row: str) -> bool:
    """A whole bar, or the beginning of one that was read before its end was written."""
    return re.match(r"[-\\|/ ]( (text|visual \[b\]) *)?", row) is not None and not re.search(r"\d: ", row)


def test_other_writers_on_standard_error_do_not_tear_the_bar_either(terminal):
    with terminal:
        with progress.bar("text", 3) as done:
            terminal.wait_for("0 of 3 cells")
            print("a library's own line", file=sys.stderr)
            done(3)
            terminal.wait_for("3 of 3 cells")
        logs.log.info("the end")
        terminal.wait_for("the end")
        assert terminal.rows() == ["a library's own line", "the end"]


def test_the_bars_of_works_that_belong_together_stay_until_the_last_has_ended(terminal):
    with terminal:
        with progress.together():
            with progress.bar("text", 2) as done:
                terminal.wait_for("0 of 2 cells")
                done(2)
            with progress.bar("audio", 1) as done:
                terminal.wait_for("0 of 1 cell")
                done(1)
                terminal.wait_for("1 of 1 cell")
            terminal.wait_for("2 of 2 cells")
        logs.log.info("done")
        terminal.wait_for("done")
        assert terminal.rows() == ["done"]


def test_on_a_narrow_terminal_the_bar_is_short_and_the_time_that_is_left_is_there(terminal, monkeypatch):
    monkeypatch.setattr(progress._Bar, "words", lambda bar, _: "123 of 1,000 cells, 12 min 34 s left")
    with terminal, progress.bar("whisper, is10", 1000) as done:
        done(123)
        terminal.wait_for("123 of 1,000 cells, 12 min 34 s left")


def test_what_is_left_is_said_in_words():
    shown = progress._Bar("text", 1200, " cells")
    shown.done = 200
    assert shown.words(None) == "200 of 1,200 cells"
    assert shown.words(150) == "200 of 1,200 cells, 2 min 30 s left"
    shown.done = 1200
    assert shown.words(0) == "1,200 of 1,200 cells"
    assert progress._Bar("fsck", None, " shards").words(None) == ""


def test_short_work_shows_no_bar_and_a_bar_that_ended_never_appears(terminal, monkeypatch):
    with terminal:
        monkeypatch.setattr(progress, "_SILENT_SECONDS", 0.2)
        with progress.bar("text", 2) as done:
            done(2)
        progress._display.add(_ended())
        time.sleep(0.3)
        logs.log.info("done")
        terminal.wait_for("done")
        assert [rows for rows in terminal.seen if any("text" in row for row in rows)] == []


def _ended() -> "progress._Bar":
    bar = progress._Bar("text", 2, "cells")
    progress._display.remove(bar)
    return bar


@pytest.mark.parametrize("why", ["dumb", "json"])
def test_a_terminal_that_cannot_move_and_a_log_in_json_have_plain_lines_alone(terminal, monkeypatch, why):
    with terminal:
        logs.set_up(debug=False, as_json=why == "json")
        monkeypatch.setenv("TERM", "dumb" if why == "dumb" else "xterm")
        with progress.bar("text", 2) as done:
            done(1)
            logs.log.info("a line")
            time.sleep(0.05)
        terminal.wait_for("a line")
    assert not any("text" in row for rows in terminal.seen for row in rows)


def test_without_a_terminal_there_are_plain_lines_alone(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SILENT_SECONDS", 0.0)
    logs.set_up(debug=False, as_json=False)
    with progress.bar("text", 2) as done, progress.counted("plan", " files") as counted:
        counted(1, 2)
        done(1)
        logs.log.info("a line")
        time.sleep(0.05)
    logs.log.handlers = []
    assert capsys.readouterr().err == "a line\n"


def test_silence_is_explained_after_two_seconds_and_not_before(caplog, monkeypatch):
    monkeypatch.setattr(logs.log, "propagate", True)
    caplog.set_level(logging.INFO, "bigfusion")
    with progress.waiting("starting Prefect"):
        pass
    assert caplog.messages == []
    monkeypatch.setattr(progress, "_SILENT_SECONDS", 0.0)
    with progress.waiting("starting Prefect"):
        time.sleep(0.2)
    assert set(caplog.messages) == {"starting Prefect"}


def test_numbers_stand_with_the_right_form_of_their_noun():
    assert words.numbered(1, "chunk") == "1 chunk"
    assert words.numbered(0, "chunk") == "0 chunks"
    assert words.numbered(1200, "class/classes") == "1,200 classes"
    assert words.tally({"no_face": 1, "ok": 35, "silent": 2}) == "35 ok, 2 silent, 1 no face"
    assert words.tally({}) == "none"
