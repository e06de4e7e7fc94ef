"""`export --layout`: what MMSA's and MERBench's own loaders would read, and the way back."""

import json
import pickle
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bigfusion.flows import cli
from bigfusion.pipeline.feature_files.reader import read_features

SPLITS = ["train"] * 5 + ["valid"] * 2 + ["test"] * 2


def imported(folder: Path, labels, name: str = "mine", **over) -> Path:
    """A project on nine utterances of text and audio; utterance 3 has no audio."""
    rng = np.random.default_rng(0)
    audio = [row.astype(np.float32) for row in rng.normal(size=(9, 3))]
    audio[3] = None
    frame = {
        "dialogue": ["train/d0"] * 3 + ["train/d1"] * 2 + ["v"] * 2 + ["t"] * 2,
        "utterance": [f"u/{row}" for row in range(9)], "speaker": list("ABABABABA"), "label": labels,
        "text": [row.astype(np.float32) for row in rng.normal(size=(9, 4))], "audio": audio, "split": SPLITS,
    } | over  # fmt: skip
    pd.DataFrame(frame).to_parquet(folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


@pytest.fixture
def command(tmp_path, capsys, monkeypatch):
    """The command line in an empty folder; returns the answer."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> dict:
        capsys.readouterr()
        assert cli.main([*words, "--json"]) == code
        out = capsys.readouterr()
        return json.loads(out.out) if code == 0 else {"error": out.err or out.out}

    return run


def read_as_mmsa_does(path: Path, mode: str) -> dict:
    """The arrays that MMSA's loader makes of one split, by the same accesses."""
    content = pickle.loads(path.read_bytes())
    part = content[mode]
    return {
        "text": part["text"].astype(np.float32),
        "vision": part["vision"].astype(np.float32),
        "audio": part["audio"].astype(np.float32),
        "labels": np.array(part["regression_labels"]).astype(np.float32),
        "raw_text": [part["raw_text"][row] for row in range(len(part["id"]))],
        "ids": [part["id"][row] for row in range(len(part["id"]))],
        "lengths": [(part["audio_lengths"][row], part["vision_lengths"][row]) for row in range(len(part["id"]))],
    }


EMOTIONS = ["up", "down", "flat", "up", "down", "flat", "up", "down", "up"]


def test_mmsa_s_loader_reads_the_pickle_and_it_comes_back_equal(tmp_path, command):
    imported(tmp_path, EMOTIONS)
    labels = "corpus.labels=['up', 'flat', 'down']"
    command("import", "mine.parquet", "--set", labels)
    answer = command("export", "out", "--layout", "mmsa", "--config", "mine/bigfusion.toml")
    assert answer["rows"] == {"train": 5, "valid": 2, "test": 2}
    assert "regression_labels are NaN: the classes have no order" in answer["notes"][0]
    assert "vision are one zero an utterance" in answer["notes"][1]
    path = tmp_path / "out/features.pkl"
    before, after = read_features(tmp_path / "mine.parquet", ["up", "flat", "down"]), read_features(path)
    train = read_as_mmsa_does(path, "train")
    np.testing.assert_array_equal(train["text"][:, 0], before.features["text"][:5])
    np.testing.assert_array_equal(train["audio"][:, 0], before.features["audio"][:5])
    assert train["vision"].shape == (5, 1, 1)
    assert train["ids"] == ["train/d0$_$0", "train/d0$_$1", "train/d0$_$2", "train/d1$_$0", "train/d1$_$1"]
    assert train["lengths"] == [(1, 1)] * 5
    assert np.isnan(train["labels"]).all()
    assert after.manifest.labels == ("up", "flat", "down")
    assert after.manifest.digest == before.manifest.digest
    assert list(after.features) == ["text", "audio"]
    for name, values in before.features.items():
        np.testing.assert_array_equal(after.features[name], values)
        np.testing.assert_array_equal(after.present[name], before.present[name])
    names = {name for code, name, _ in pickletools.genops(path.read_bytes()) if code.name == "GLOBAL"}
    assert "numpy.core.multiarray _reconstruct" in names
    assert not any("_core" in name for name in names), "NumPy 1 reads it too"


def test_signs_and_numbers_are_mmsa_s_targets(tmp_path, command):
    imported(tmp_path, ["positive", "neutral", "negative", "positive", "neutral"] + ["negative"] * 4)
    command("import", "mine.parquet")
    command("export", "out", "--layout", "mmsa", "--config", "mine/bigfusion.toml")
    assert read_as_mmsa_does(tmp_path / "out/features.pkl", "train")["labels"].tolist() == [1, 0, -1, 1, 0]
    numbers = [0.1, -2.2, 3.0, 0.0, 1.4, 0.6, -0.6, 2.4, -3.0]
    imported(tmp_path, numbers, "numbers")
    command("import", "numbers.parquet", "--set", "corpus.task='regression'")
    command("export", "more", "--layout", "mmsa", "--config", "numbers/bigfusion.toml")
    valid = read_as_mmsa_does(tmp_path / "more/features.pkl", "valid")["labels"]
    np.testing.assert_array_equal(valid, np.array([0.6, -0.6], np.float32))
    before = read_features(tmp_path / "numbers.parquet", regression=True).manifest
    assert read_features(tmp_path / "more/features.pkl", regression=True).manifest.digest == before.digest
    command("export", "plain", "--config", "numbers/bigfusion.toml")
    found = read_features(tmp_path / "plain/data/train.parquet", regression=True).manifest
    assert found.table["value"].tolist() == numbers[:5]


def test_rows_without_a_label_stay_out_and_a_corpus_without_validation_gets_some(tmp_path, command):
    labels = [None, *EMOTIONS[1:]]
    imported(tmp_path, labels, split=["train"] * 7 + ["test"] * 2)
    command("import", "mine.parquet")
    answer = command("export", "out", "--layout", "mmsa", "--config", "mine/bigfusion.toml")
    assert answer["rows"] == {"train": 4, "valid": 2, "test": 2}
    assert answer["notes"][:2] == [
        "1 utterance without a label left out",
        "valid: the last 1 dialogue of train, as a training holds them out",
    ]
    table = read_features(tmp_path / "out/features.pkl").manifest.table
    assert table["utterance"].tolist() == [f"u/{row}" for row in range(1, 9)]
    assert table["turn"].tolist() == [0, 1, 0, 1, 0, 1, 0, 1]


def read_as_merbench_does(folder: Path, feature: str, corpus: str) -> tuple[list, np.ndarray, list]:
    """Names, features and labels as MERBench's loaders get them, by the same accesses."""
    found = np.load(folder / "label.npz", allow_pickle=True)[corpus].tolist()
    features = [np.load(folder / "features" / feature / f"{name}.npy").squeeze() for name in found]
    return [*found], np.stack(features), [found[name] for name in found]


def test_older_versions_of_numpy_find_the_names_in_merbench_s_labels(tmp_path, command):
    imported(tmp_path, EMOTIONS)
    command("import", "mine.parquet")
    command("export", "out", "--layout", "merbench", "--config", "mine/bigfusion.toml")
    with zipfile.ZipFile(tmp_path / "out/label.npz") as archive:
        members = [archive.read(name) for name in archive.namelist()]
    assert members and not any(b"numpy._core" in member for member in members)


def test_merbench_s_loaders_read_the_folders(tmp_path, command):
    imported(tmp_path, EMOTIONS)
    command("import", "mine.parquet", "--set", "corpus.labels=['up', 'flat', 'down']")
    answer = command("export", "out", "--layout", "merbench", "--config", "mine/bigfusion.toml")
    assert answer["rows"] == {"train": 5, "valid": 2, "test": 2}
    assert answer["notes"] == ["emo: 0 up, 1 flat, 2 down"]
    before = read_features(tmp_path / "mine.parquet")
    for corpus, rows in (("train_corpus", range(5)), ("val_corpus", range(5, 7)), ("test_corpus", range(7, 9))):
        for feature in ("text", "audio"):
            names, values, labels = read_as_merbench_does(tmp_path / "out", f"{feature}-UTT", corpus)
            assert names == [f"u_{row}" for row in rows]
            np.testing.assert_array_equal(values, before.features[feature][list(rows)])
            assert [label["emo"] for label in labels] == [["up", "flat", "down"].index(EMOTIONS[row]) for row in rows]
            assert {label["val"] for label in labels} == {-10.0}
    assert len(read_as_merbench_does(tmp_path / "out", "audio-UTT", "whole_corpus")[0]) == 9


def test_merbench_s_numbers(tmp_path, command):
    imported(tmp_path, [0.5, -0.25, 1.0, 0.0, 0.0, 1.0, -1.0, 0.5, 0.25])
    command("import", "mine.parquet", "--set", "corpus.task='regression'")
    command("export", "out", "--layout", "merbench", "--config", "mine/bigfusion.toml")
    labels = read_as_merbench_does(tmp_path / "out", "text-UTT", "train_corpus")[2]
    assert labels == [{"emo": 0, "val": value} for value in (0.5, -0.25, 1.0, 0.0, 0.0)]


def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path, command):
    rows = [np.full(2, row, np.float32) for row in range(9)]
    imported(tmp_path, EMOTIONS, **{"audio.wavlm": rows, "utterance": ["u/0", "u_0", *"abcdefg"]})
    command("import", "mine.parquet")
    wrong = command("export", "out", "--layout", "mmsa", "--config", "mine/bigfusion.toml", code=1)["error"]
    assert "expected one audio feature, for MMSA holds one a modality, found audio, audio.wavlm" in wrong
    chosen = ["--config", "mine/bigfusion.toml", "--set", "model.features=['wavlm']"]
    command("export", "out", "--layout", "mmsa", *chosen)
    assert read_as_mmsa_does(tmp_path / "out/features.pkl", "test")["audio"][:, 0].tolist() == [[7, 7], [8, 8]]
    again = command("export", "out", "--layout", "mmsa", *chosen, code=1)["error"]
    assert "expected a folder that is empty" in again
    alike = command("export", "mer", "--layout", "merbench", *chosen, code=1)["error"]
    assert "u_0: expected ids that differ when / becomes _" in alike
    assert not (tmp_path / "mer").exists()
    imported(tmp_path, EMOTIONS, "short", split=["train"] * 9)
    command("import", "short.parquet")
    none = command("export", "out2", "--layout", "mmsa", "--config", "short/bigfusion.toml", code=1)["error"]
    assert "test: expected labelled utterances, for MMSA reads train, valid and test, found none" in none
