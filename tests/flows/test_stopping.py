"""Ctrl-C in a terminal and SIGTERM to the process group: one line, the known exit code, in seconds, nothing left."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bigfusion.flows import cli, stopping
from bigfusion.flows.engine import server
from bigfusion.flows.engine.server import free_port
from tests.helpers.demo_corpus import copy_corpus
from tests.helpers.own_features import separable
from tests.helpers.small_ferplus import write_ferplus
from tests.helpers.small_project import CONFIG
from tests.helpers.terminal import Terminal
from tests.helpers.tiny_encoder import save_roberta

LONG = ("--set", "train.epochs=100000", "--set", "train.patience=100000")
ENDS = {"interrupted": 130, "terminated": 143}


def stop(terminal: Terminal, how: str) -> None:
    """Ctrl-C, or a scheduler's signal; then see that the command ends as promised."""
    before = len(terminal.lines())
    if how == "interrupted":
        terminal.type(b"\x03")
    else:
        terminal.kill_group(signal.SIGTERM)
    taken = terminal.end()
    assert terminal.code == ENDS[how], terminal.shown
    assert taken < 15, terminal.shown  # the end is forced after 7 s; a busy machine adds some
    said = [line.removeprefix("^C") for line in terminal.lines()[before:]]
    assert said[-1:] == [f"{how}; what is finished is kept, the same command goes on from there"]
    assert len([line for line in said if line]) <= 2, terminal.shown  # a bar may have moved on meanwhile
    assert "Traceback" not in terminal.shown
    assert terminal.left_running() == []


@pytest.fixture
def media(tmp_path):
    """A project on raw media, nothing done yet."""
    copy_corpus(tmp_path / "MELD.Raw", dialogues=1)
    (tmp_path / "bigfusion.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def imported(tmp_path):
    """A project on a feature file: nothing to extract."""
    separable(tmp_path / "mine.parquet")
    assert cli.main(["import", str(tmp_path / "mine.parquet"), str(tmp_path / "mine")]) == 0
    return tmp_path / "mine"


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("moment", ["the server starts", "extraction"])
def test_a_run_ends_at_once_before_its_server_is_up_and_in_extraction(media, moment, how):
    terminal = Terminal(media, "run")
    if moment == "extraction":
        terminal.wait_until(lambda: "extract: visual" in terminal.shown)
        time.sleep(1.5)
    else:
        terminal.wait_until((media / "work/prefect").exists)
    stop(terminal, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_training_ends_at_once_in_one_process_and_in_two(imported, processes, how):
    one = ("--set", "model.modalities=['text']", "--set", "model.width=16", "--set", f"train.processes={processes}")
    terminal = Terminal(imported, "run", *LONG, *one)
    terminal.wait_until(lambda: list(imported.glob("work/runs/*/seed-0/resume.safetensors")))
    stop(terminal, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_an_idle_serve_ends_at_once(imported, how):
    terminal = Terminal(imported, "serve", "--port", str(free_port()), "--cron", "0 3 1 1 *")
    terminal.wait_until(lambda: "Ctrl-C ends it" in terminal.shown)
    time.sleep(2)
    stop(terminal, how)


@pytest.mark.slow
def test_a_command_on_a_feature_file_ends_at_once(tmp_path):
    file = str(tmp_path / "mine.parquet")
    separable(Path(file))
    terminal = Terminal(tmp_path, "train", "--features", file, "--out", "run", *LONG)
    terminal.wait_until(lambda: list(tmp_path.glob("run/seed-0/resume.safetensors")))
    stop(terminal, "interrupted")


@pytest.mark.slow
def test_a_dead_proxy_in_the_environment_changes_nothing(imported):
    """``http_proxy`` is meant for the world; the server on this machine is asked past it."""
    dead = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"), "http://127.0.0.1:9")
    settings = ("--set", "train.epochs=1", "--set", "train.seeds=[0]", "--set", "model.modalities=['text']")
    terminal = Terminal(imported, "train", *settings, **dead)
    terminal.end(240)
    assert terminal.code == 0, terminal.shown


@pytest.mark.slow
def test_extract_ends_at_once(media):
    terminal = Terminal(media, "extract")
    terminal.wait_until(lambda: "extract: visual" in terminal.shown)
    time.sleep(1.5)
    stop(terminal, "terminated")


@pytest.mark.slow
def test_evaluate_ends_at_once(imported):
    short = ("--set", "train.epochs=1", "--set", "train.seeds=[0]", "--set", "model.modalities=['text']")
    assert cli.main(["train", "--config", str(imported / "bigfusion.toml"), *short]) == 0
    terminal = Terminal(imported, "evaluate", *short)
    terminal.wait_until(lambda: "evaluate: to do" in terminal.shown)
    stop(terminal, "interrupted")


@pytest.mark.slow
def test_train_faces_ends_at_once(tmp_path):
    write_ferplus(tmp_path / "ferplus")
    long = ("--set", "stages=[[16, 100000]]", "--set", "batch_size=16", "--set", "device=cpu", "--set", "threads=1")
    terminal = Terminal(tmp_path, "train-faces", *long)
    terminal.wait_until(lambda: "train-faces: epoch 2 of" in terminal.shown)
    stop(terminal, "terminated")


@pytest.mark.slow
@pytest.mark.parametrize("how", ENDS)
def test_finetune_text_ends_at_once(media, how):
    encoder = save_roberta(media / "roberta")
    long = ("--set", "finetune.epochs=100000", "--set", "finetune.patience=100000", "--set", "finetune.threads=1")
    here = ("--set", "finetune.device=cpu", "--set", f"text.model='{encoder}'", "--set", "text.max_tokens=64")
    terminal = Terminal(media, "finetune-text", *long, *here)
    terminal.wait_until(lambda: list(media.glob("work/encoder/seed-0/checkpoint-*")))
    stop(terminal, how)


@pytest.mark.slow
def test_reproduce_ends_at_once(tmp_path):
    separable(tmp_path / "mine.parquet")
    terminal = Terminal(tmp_path, "reproduce", "--figure", "4", "--features", "mine.parquet", *LONG)
    terminal.wait_until(lambda: list(tmp_path.glob("reproduction/**/resume.safetensors")))
    stop(terminal, "interrupted")


@pytest.mark.slow
def test_the_demo_ends_at_once_while_its_clips_are_made(tmp_path):
    terminal = Terminal(tmp_path, "demo", "mine")
    terminal.wait_until(lambda: list(tmp_path.glob("mine/MELD.Raw/**/*.mp4")))
    stop(terminal, "terminated")


HANGING = """
import sys, time
from bigfusion.flows.stopping import say, stoppable
try:
    with stoppable():
        try:
            print("ready", flush=True)
            while True:  # a signal that comes just before one long sleep would be seen after it
                time.sleep(0.1)
        finally:
            time.sleep(100)
except KeyboardInterrupt as stopped:
    sys.exit(say(stopped))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "how"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_command_whose_unwinding_hangs_ends_all_the_same(number, how):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGING], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, shown = process.communicate(timeout=60)
    assert process.returncode == ENDS[how]
    assert shown == f"{how}; what is finished is kept, the same command goes on from there\n"


IN_C = """
import ctypes, os, signal, sys, time
from bigfusion.flows import stopping
stopping.GRACE_SECONDS = 0.5
try:
    with stopping.stoppable():
{body}
except KeyboardInterrupt as stopped:
    sys.exit(stopping.say(stopped))
"""
LOCKED = """
        lock = ctypes.create_string_buffer(128)  # zeros: a mutex; who locks it twice waits for ever, past any signal
        ctypes.CDLL(None).pthread_mutex_lock(lock)
        print("ready", flush=True)
        ctypes.CDLL(None).pthread_mutex_lock(lock)
"""
CHILD = """
        ready, handled = os.pipe()
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
            os.write(handled, b"1")
            time.sleep(60)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        time.sleep(1.5)
        print("lives", flush=True)
"""
OTHERS = """
        signal.signal(signal.SIGTERM, lambda *_: print("seen", flush=True))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.5)
        print("lives", flush=True)
"""


def in_c(body: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", IN_C.format(body=body)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.parametrize(("number", "how"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_command_inside_one_long_call_of_c_ends_all_the_same(number, how):
    process = in_c(LOCKED)
    try:
        assert process.stdout.readline() == "ready\n"  # nothing else is written there: `communicate` would miss it
        time.sleep(0.3)
        process.send_signal(number)
        _, shown = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == ENDS[how]
    assert shown == f"{how}; what is finished is kept, the same command goes on from there\n"


@pytest.mark.parametrize(("body", "said"), [(CHILD, "lives\n"), (OTHERS, "seen\nlives\n")])
def test_a_child_s_signal_and_one_that_a_library_handles_end_no_command(body, said):
    shown, errors = in_c(body).communicate(timeout=30)
    assert (shown, errors) == (said, "")


def test_a_block_leaves_no_thread_no_open_file_and_no_wakeup_behind():
    gc.collect()  # or files that earlier tests left open are closed meanwhile
    before = threading.active_count(), len([*Path("/proc/self/fd").iterdir()])
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    known = signal.set_wakeup_fd(theirs)
    try:
        for _ in range(5):
            with stopping.stoppable():
                assert threading.active_count() == before[0] + 1
        assert signal.set_wakeup_fd(known) == theirs
    finally:
        os.close(ours)
        os.close(theirs)
    assert (threading.active_count(), len([*Path("/proc/self/fd").iterdir()])) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_whose_start_is_interrupted_is_ended_too(tmp_path, monkeypatch, number):
    """The signal comes when the process is there, and before the command has had a chance to remember it."""
    begun = []

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            begun.append(self)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(server.subprocess, "Popen", Interrupted)
    monkeypatch.setattr(stopping, "_end_in_time", lambda number: None)  # this process goes on
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    try:
        with (
            stopping.stoppable(),
            pytest.raises(stopping.Stopped),
            server._process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, {}, 5),
        ):
            pytest.fail("the block was entered")
    finally:
        for one, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(one, handler)
    (process,) = begun
    assert process.poll() is not None
