"""Manifests of other versions: an older one is read, a newer one refused in one line."""

from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline.errors import FormatError
from bigfusion.pipeline.manifest import manifest as module
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.manifest.rows import LATER, SCHEMA

SHA = "ab" * 32


def small() -> Manifest:
    columns = {
        "utterance": ["train/a_0", "train/a_1", "test/b_0"],
        "split": ["train", "train", "test"],
        "dialogue": ["train/a", "train/a", "test/b"],
        "turn": [0, 1, 0],
        "speaker": ["Ann", "Ben", "Ann"],
        "text": ["Hello", "", "Go"],
        "label": ["joy", "", "anger"],
        "audio_path": ["a/0.wav", "a/1.wav", ""],
        "audio_sha256": [SHA, "", ""],
    }
    return Manifest.of("toy", Path("/data/corpus"), ("joy", "anger"), columns)


@pytest.mark.parametrize("lacking", [some for n in range(1, len(LATER) + 1) for some in combinations(LATER, n)])
def test_a_manifest_without_columns_that_came_later_is_read(tmp_path, lacking):
    manifest = small()
    manifest.write(tmp_path / "whole.parquet")
    table = pq.read_table(tmp_path / "whole.parquet")
    pq.write_table(table.drop_columns([*lacking]), tmp_path / "older.parquet")
    read = Manifest.read(tmp_path / "older.parquet")
    assert read.digest == manifest.digest
    assert read.arrow.schema == SCHEMA
    assert read.utterances() == manifest.utterances()


def test_a_manifest_without_a_number_is_of_the_first_format(tmp_path, monkeypatch):
    manifest = small()
    monkeypatch.setattr(module, "FORMAT", None)
    manifest.write(tmp_path / "m.parquet")
    monkeypatch.undo()
    assert Manifest.read(tmp_path / "m.parquet").digest == manifest.digest


def test_a_manifest_of_a_newer_format_is_refused_and_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    small().write(tmp_path / "m.parquet")
    monkeypatch.undo()
    with pytest.raises(FormatError, match=r"m\.parquet: expected format 1, .* found 2: a newer version wrote it"):
        Manifest.read(tmp_path / "m.parquet")


def test_a_column_of_a_newer_version_is_named(tmp_path):
    small().write(tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    more = table.append_column("mood", pa.array([""] * len(table), pa.large_string()))
    pq.write_table(more, tmp_path / "m.parquet")
    with pytest.raises(FormatError, match=r"found mood beside them: a newer version"):
        Manifest.read(tmp_path / "m.parquet")
