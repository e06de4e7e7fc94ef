"""A project whose store is a bucket: import, extract, plan, fsck, compact, gc and export, on an S3 server."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.flows.commands import extract
from bigfusion.flows.project.load import load
from bigfusion.pipeline.errors import SettingsError
from tests.helpers.own_features import features

SETTINGS = ["--set", "model.modalities=['text', 'audio']", "--set", "extract.chunk_size=20"]


@pytest.fixture
def url(s3) -> str:
    """The address of an empty store."""
    return s3.new("features")


def answer(capsys, *command: str, code: int = 0):
    capsys.readouterr()
    assert cli.main([*command, "--config", "mine/bigfusion.toml", "--json", *SETTINGS]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_a_whole_project_on_a_bucket(url, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "mine.parquet")
    assert cli.main(["import", "mine.parquet", *SETTINGS, "--set", f"workspace.store={url}"]) == 0
    config = tmp_path / "mine/bigfusion.toml"
    config.write_text(config.read_text() + f'\n[workspace]\nstore = "{url}"\n')
    assert not (tmp_path / "mine/work/store").exists()
    assert answer(capsys, "store", "info")["path"] == "s3://features/store"
    assert answer(capsys, "plan", code=2)["pending_cells"] == 0  # training is to be done

    features(tmp_path / "mine.parquet", shift=1.0)  # another file: every cell is new
    assert answer(capsys, "plan", code=2)["pending_cells"] == 144
    assert answer(capsys, "extract")["pending"] == 0
    with monkeypatch.context() as second:
        second.setattr(extract, "run_flow", lambda *_: pytest.fail("something was left to do"))
        assert answer(capsys, "extract")["pending"] == 0

    shutil.rmtree(tmp_path / "mine/work/shards")
    (tmp_path / "mine/work/index.sqlite").unlink()
    report = answer(capsys, "fsck")
    assert (report["shards"], report["cells"], report["findings"]) == (16, 288, [])
    assert len(answer(capsys, "store", "compact")["written"]) == 4
    removed = answer(capsys, "gc", "--grace", "0", "--apply")["items"]
    assert {item["why"] for item in removed} == {"copies", "unreached"}
    assert all(item["path"].startswith("s3://features/store/") for item in removed)
    assert answer(capsys, "fsck")["findings"] == []
    answer(capsys, "export", "out")
    found = pd.concat(
        pd.read_parquet(tmp_path / f"out/data/{part}.parquet") for part in ("train", "validation", "test")
    )
    np.testing.assert_array_equal(np.stack(found["text"]), np.stack(pd.read_parquet("mine.parquet")["text"]))

    monkeypatch.setenv("AWS_ENDPOINT_URL", url.rpartition("=")[2])
    bare = ["--config", "mine/bigfusion.toml", *SETTINGS, "--set", "workspace.store=s3://features/store"]
    assert cli.main(["store", "info", *bare]) == 0
    assert os.listdir(tmp_path / "mine/work/shards")  # noqa: PTH208


@pytest.mark.parametrize("store", ["S3://features/x", "s3:/features", "s3:features", "gs://features", "file:///srv"])
def test_a_mistyped_address_is_no_folder(tmp_path, store):
    (tmp_path / "bigfusion.toml").write_text(f'preset = "demo"\n[workspace]\nstore = "{store}"\n')
    with pytest.raises(SettingsError, match="expected a folder or s3://bucket/prefix") as told:
        load(tmp_path / "bigfusion.toml")
    assert "\n" not in str(told.value)


def test_settings_that_cannot_be_a_bucket(tmp_path):
    (tmp_path / "bigfusion.toml").write_text('preset = "demo"\n[workspace]\nstore = "s3://key:secret@features/x"\n')
    with pytest.raises(SettingsError, match="credentials in the environment") as told:
        load(tmp_path / "bigfusion.toml")
    assert "secret" not in str(told.value)
    (tmp_path / "bigfusion.toml").write_text('preset = "demo"\n[workspace]\nstore = "s3://features/x"\n')
    assert load(tmp_path / "bigfusion.toml").store == "s3://features/x"
    (tmp_path / "bigfusion.toml").write_text('preset = "demo"\n[workspace]\nstore = "here"\n')
    assert load(tmp_path / "bigfusion.toml").store == tmp_path / "here"
