"""A disk that is full at each kind of file that `run` writes: one line, nothing lost, and the next run goes on."""

import errno
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bigfusion.flows.cli import _one_line
from bigfusion.flows.stages.chunks import chunk
from bigfusion.flows.stages.train import train_seed
from bigfusion.pipeline import atomic
from tests.helpers.release_workspace import CONFIG, FOLDER, table
from tests.helpers.small_project import Place

FILES = (
    "manifest.parquet", "text-", "cells.parquet", "run.json", "extractors.json", "dialogues.json", "history.jsonl",
    "checkpoint.safetensors", "checkpoint.json", "resume.safetensors", "trained.json", "predictions.parquet",
    "metrics.json", "report.html", "evaluated.json", "current.json",
)  # fmt: skip
"""The beginning of the name of each file that a run makes."""


@pytest.mark.slow
def test_a_full_disk_at_every_file_of_a_run_is_one_line_and_the_next_run_goes_on(tmp_path, capsys, monkeypatch):
    place = Place(tmp_path / "project", capsys)
    place.folder.mkdir()
    place.config.write_text(CONFIG)
    (place.folder / "utterances.csv").write_text(table())
    write_all, full, struck = atomic._write_all, [""], []

    def write(file: int, content: bytes) -> None:
        name = Path(f"/proc/self/fd/{file}").readlink().name
        if full[0] and name.startswith(f".{full[0]}"):
            struck.append(full[0])
            os.write(file, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_all(file, content)

    monkeypatch.setattr(atomic, "_write_all", write)
    for task in (chunk, train_seed):  # they are tried again, which helps nothing here
        monkeypatch.setattr(task, "retry_delay_seconds", [0.0, 0.0, 0.0])
    before: dict[str, bytes] = {}
    for full[0] in FILES:
        code = place.run("run")
        said = capsys.readouterr().err.strip().splitlines()
        assert full[0] in struck, f"{full[0]}: no such file was written"
        assert code == 1, full[0]
        last = said[-1]
        assert last.startswith("bigfusion: "), (full[0], said)
        assert "make room" in last, (full[0], last)
        assert full[0] in last, (full[0], last)
        assert not any("Traceback" in line for line in said), full[0]
        kept = place.shards()
        assert before.items() <= kept.items(), f"{full[0]}: a stored cell was lost"
        before = kept
    full[0] = ""
    assert place.run("run") == 0
    (run,) = (place.folder / "work/runs").iterdir()
    assert json.loads((place.folder / "work/current.json").read_bytes())["current"] == run.name
    assert not [path for path in (place.folder / "work").rglob(".*.tmp") if "prefect" not in path.parts]
    whole = tmp_path / "whole"
    shutil.copytree(place.folder, whole, ignore=shutil.ignore_patterns("work"))
    assert Place(whole, capsys).run("run") == 0
    (other,) = (whole / "work/runs").iterdir()
    one, two = (pd.read_parquet(folder / "predictions.parquet") for folder in (run, other))
    pd.testing.assert_frame_equal(one, two)


def test_the_line_names_the_file_that_was_being_written(tmp_path, monkeypatch):
    """The error of a write to an open file names no file by itself."""

    def full(file: int, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_write_all", full)
    with pytest.raises(OSError, match="No space left") as caught:
        atomic.write_whole(tmp_path / "current.json", b"{}")
    assert _one_line(caught.value) == (
        f"{tmp_path / 'current.json'}: No space left on device; make room and run the same command again"
    )


def test_the_list_names_what_a_run_makes():
    made = {path.name for path in (FOLDER / "work").rglob("*") if path.is_file() and "reach" not in path.parts}
    for name in ("id", "index.sqlite", "test-epochs.safetensors"):
        made.remove(name)
    assert [name for name in made if not name.startswith(FILES)] == []
