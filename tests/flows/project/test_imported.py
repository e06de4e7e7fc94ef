"""Features of a user's own file: what comes out of the store is what stands in the file, utterance by utterance."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.schema import Modality
from tests.helpers.field_pickles import bc_lstm, cogmen, daily_dialogue, mmsa, sims


def save(path, seed: int = 0, sentence: str = "Yeah.") -> None:
    """An MMGCN pickle of four dialogues in which everybody always says the same."""
    names = [f"Ses0{k}F_impro01" for k in range(1, 5)]
    random = np.random.default_rng(seed)

    def of_each(value):
        return {name: [value(name, turn) for turn in range(4)] for name in names}

    content = (
        of_each(lambda name, turn: f"{name}_{'FM'[turn % 2]}{turn:03}"),
        of_each(lambda name, turn: "FM"[turn % 2]),
        of_each(lambda name, turn: turn % 3),
        *(of_each(lambda name, turn: random.normal(size=5).astype(np.float32)) for _ in Modality),
        of_each(lambda name, turn: sentence),
        names[:3],
        names[3:],
    )
    path.write_bytes(pickle.dumps(content))


def stored(config) -> dict:
    """What training would read, by modality."""
    project = load(config)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 0
    store = project.files.store()
    try:
        return {modality: store.read(modality, planned.fingerprints(modality)).values for modality in planned.features}
    finally:
        store.close()


def test_equal_sentences_keep_their_own_features(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "mine.pkl")
    assert cli.main(["import", "mine.pkl"]) == 0
    expected = read_features(tmp_path / "mine.pkl")
    found = stored(tmp_path / "mine/bigfusion.toml")
    for modality in Modality:
        np.testing.assert_array_equal(found[modality], expected.features[modality])


def test_another_file_is_not_taken_for_the_projects_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("mine", "other")):
        save(tmp_path / f"{name}.pkl", seed)
    assert cli.main(["import", "mine.pkl", "project"]) == 0
    before = stored(tmp_path / "project/bigfusion.toml")
    capsys.readouterr()
    assert cli.main(["import", "other.pkl", "project"]) == 1
    assert "found one on another corpus; name another folder" in capsys.readouterr().err
    for modality, values in stored(tmp_path / "project/bigfusion.toml").items():
        np.testing.assert_array_equal(values, before[modality])
    assert cli.main(["import", "mine.pkl", "project"]) == 0


def test_a_replaced_file_is_seen_within_one_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "mine.pkl")
    assert cli.main(["import", "mine.pkl"]) == 0
    project = load(tmp_path / "mine/bigfusion.toml")
    save(tmp_path / "mine.pkl", seed=1)
    planned = cells.plan(project, corpus.kept(project))
    assert planned.pending_count == 3 * 16
    save(tmp_path / "mine.pkl", seed=2)
    with pytest.raises(ExtractionError, match="expected the file that was planned"):
        cells.extract_chunk(project, planned.manifest, planned.pending(Modality.TEXT), "run")
    assert cli.main(["import", "mine.pkl"]) == 0
    expected = read_features(tmp_path / "mine.pkl")
    for modality, values in stored(tmp_path / "mine/bigfusion.toml").items():
        np.testing.assert_array_equal(values, expected.features[modality])


def test_what_is_said_of_a_file_s_labels_at_import_stands_in_the_project(tmp_path, monkeypatch, capsys):
    """-1 in a fifth of the rows: import asks, takes the answer, and the next command knows it."""
    monkeypatch.chdir(tmp_path)
    labels = ["-1"] * 4 + ["0"] * 4 + ["1"] * 4 + ["2"] * 4
    names = [f"d{row}" for row in range(16)]
    columns = {"dialogue": names, "utterance": names, "speaker": names, "label": labels, "text": [[1.0]] * 16}
    pq.write_table(pa.table({**columns, "split": ["training"] * 12 + ["validation"] * 4}), "mine.parquet")
    assert cli.main(["import", "mine.parquet"]) == 1
    refused = capsys.readouterr().err
    assert "found -1 in 4 of 16 rows, which may be a class or none; write corpus.label_map" in refused
    assert not (tmp_path / "mine").exists()
    assert cli.main(["import", "mine.parquet", "--set", 'corpus.label_map={"-1" = "", "2" = "😀"}', "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["unlabelled"] == {"train": 4}
    assert data["utterances"] == {"train": 12, "valid": 4}
    assert cli.main(["ingest", "--config", "mine/bigfusion.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == data["digest"]
    assert load("mine/bigfusion.toml").corpus.label_map == {"-1": "", "2": "😀"}


def test_a_project_on_the_labels_of_one_modality_keeps_its_target_and_the_cells_of_the_common_label(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    sims(tmp_path / "sims.pkl")
    assert cli.main(["import", "sims.pkl", "text", "--set", "corpus.target=label_T", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["labels"]["train"] == {"negative": 1, "neutral": 1, "positive": 0}
    project = load("text/bigfusion.toml")
    assert project.corpus.target == "label_T"
    assert cells.plan(project, corpus.ingest(load("text/bigfusion.toml", None, ["corpus.target=label"])).manifest
    ).pending_count == 0, "no cell depends on a label"  # fmt: skip


def two_modalities(path) -> None:
    """A Parquet file with text and audio, and a column of visual features that are null."""
    names = [f"d{row}" for row in range(8)]
    columns = {"dialogue": names, "utterance": names, "speaker": names, "label": ["up", "down"] * 4}
    columns |= {"text": [[float(row)] for row in range(8)], "audio": [[1.0, float(row)] for row in range(8)]}
    pq.write_table(pa.table({**columns, "visual": pa.nulls(8)}), path)


@pytest.mark.parametrize(
    ("make", "name", "modalities"),
    [
        (two_modalities, "two.parquet", ["text", "audio"]),
        (mmsa, "mosi.pkl", ["text", "audio", "visual"]),
        (cogmen, "data_iemocap_4.pkl", ["text", "audio", "visual"]),
        (daily_dialogue, "daily_dialogue.pkl", ["text"]),
        (lambda path: bc_lstm(path.parent), "data_emotion.p", ["text", "audio"]),
    ],
    ids=["Parquet", "MMSA", "COGMEN", "DailyDialogue", "bc-LSTM"],
)
def test_the_field_s_files_become_projects_of_their_modalities(tmp_path, monkeypatch, make, name, modalities):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    expected = read_features(tmp_path / name)
    assert cli.main(["import", name, "project"]) == 0
    assert load("project/bigfusion.toml").model.modalities == tuple(modalities)
    found = stored(tmp_path / "project/bigfusion.toml")
    assert list(found) == modalities
    for modality, values in found.items():
        np.testing.assert_array_equal(values, expected.features[modality])
