"""Features of a user's own file: what comes out of the store is what stands in the file, utterance by utterance."""

import pickle

import numpy as np
import pytest

from bigfusion.flows import cli
from bigfusion.flows.project import cells, corpus
from bigfusion.flows.project.load import load
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.schema import Modality


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
        return {
            modality: store.read(modality, planned.fingerprints(modality)).values for modality in planned.modalities
        }
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
