"""The pickles of MELD's baseline: labels in one file, features in others beside it."""

import numpy as np
import pytest

from bigfusion.extractors.imported import ImportedExtractor
from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.tables.labels import MELD
from tests.helpers.field_pickles import bc_lstm, save


def test_the_file_of_labels_brings_the_features_beside_it(tmp_path):
    found = read_features(bc_lstm(tmp_path))
    table = found.manifest.table
    assert (found.layout, found.manifest.labels) == ("bc-LSTM, MELD", MELD)
    assert table["utterance"].tolist() == [
        "train/dia0_utt0", "train/dia0_utt2", "train/dia3_utt0", "valid/dia0_utt0", "test/dia0_utt1",
    ]  # fmt: skip
    assert table["dialogue"].tolist() == ["train/dia0", "train/dia0", "train/dia3", "valid/dia0", "test/dia0"]
    assert table["turn"].tolist() == [0, 1, 0, 0, 0]
    assert table["label"].tolist() == ["joy", "anger", "neutral", "joy", "neutral"]
    assert table["text"].tolist()[1] == "It’s me ."
    assert found.features["text"].tolist() == [[v] * 4 for v in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert found.features["audio"].tolist() == [[1, -1], [2, -2], [0, 0], [4, -4], [5, -5]]
    assert found.present["audio"].tolist() == [True, True, False, True, True]
    assert found.manifest.notes[0].startswith("2 of 5 rows name no speaker"), "the others speak alone in a dialogue"


@pytest.mark.parametrize("name", ["audio_embeddings_feature_selection_emotion.pkl", "text_glove_average_emotion.pkl"])
def test_a_feature_file_brings_the_labels_beside_it(tmp_path, name):
    expected = read_features(bc_lstm(tmp_path))
    found = read_features(tmp_path / name)
    modality = name.partition("_")[0]
    assert list(found.features) == [modality]
    np.testing.assert_array_equal(found.features[modality], expected.features[modality])
    assert found.manifest.table["label"].tolist() == expected.manifest.table["label"].tolist()


def test_padded_dialogues_are_cut_to_their_utterances(tmp_path):
    bc_lstm(tmp_path)
    found = read_features(tmp_path / "audio_emotion.pkl")
    assert found.features["audio"].tolist() == [[7, 1], [8, 1], [9, 9], [10, 10], [11, 11]]
    padded = [{"0": np.ones((3, 2))}, {}, {}]
    with pytest.raises(CorpusError, match="audio of train/dia0: expected 2 rows and then zeros, found others"):
        read_features(save(tmp_path / "audio_emotion.pkl", padded))


def test_the_sentiments_have_files_of_their_own(tmp_path):
    path = bc_lstm(tmp_path, "sentiment")
    assert read_features(path).features["text"].shape == (5, 4)
    assert set(ImportedExtractor(path, "text").spec.weights) == {
        "file", "text_glove_average_sentiment.pkl", "audio_embeddings_feature_selection_sentiment.pkl",
    }  # fmt: skip


def test_the_labels_count_for_a_feature_file(tmp_path):
    bc_lstm(tmp_path)
    before = ImportedExtractor(tmp_path / "audio_emotion.pkl", "audio").spec
    assert set(before.weights) == {"file", "data_emotion.p"}
    save(tmp_path / "data_emotion.p", [[], 0, 0, 0, 0, {}])
    assert ImportedExtractor(tmp_path / "audio_emotion.pkl", "audio").spec != before


def test_what_cannot_be_joined_is_refused_in_one_line(tmp_path):
    path = bc_lstm(tmp_path)
    messages = {"bimodal_emotion.pkl": "its name says what it holds, found bimodal_emotion.pkl"}
    (tmp_path / "audio.pkl").write_bytes((tmp_path / "audio_emotion.pkl").read_bytes())
    messages["audio.pkl"] = "expected a file called text_..._emotion.pkl or audio_..._emotion.pkl"
    for name, message in messages.items():
        with pytest.raises(CorpusError) as error:
            read_features(tmp_path / name)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    save(tmp_path / "audio_embeddings_feature_selection_emotion.pkl", [1, 2])
    with pytest.raises(CorpusError, match="expected audio features for train, val and test"):
        read_features(path)
    for file in tmp_path.glob("*_emotion.pkl"):
        if file.name != "audio_emotion.pkl":
            file.unlink()
    with pytest.raises(CorpusError, match="expected features in text_glove_average_TASK"):
        read_features(path)
    save(path, [1])
    with pytest.raises(CorpusError, match=r"data_emotion\.p: expected MELD's utterances and labels"):
        read_features(tmp_path / "audio_emotion.pkl")
    save(path, print)
    with pytest.raises(UnsafePickleError, match=r"refused builtins\.print"):
        read_features(tmp_path / "audio_emotion.pkl")
    path.unlink()
    with pytest.raises(CorpusError, match=r"expected the labels in data_emotion\.p beside the file"):
        read_features(tmp_path / "audio_emotion.pkl")


ROWS = {
    "split": ({"split": "dev"}, "expected utterances of train, val, test, found split 'dev'"),
    "number": ({"utterance": "first"}, "expected numbers as dialog and utterance, found '0', 'first'"),
    "label": ({"y": "bored"}, "dialogue train/dia0: expected one of neutral, surprise, .*, found 'bored'"),
}


@pytest.mark.parametrize(("over", "message"), ROWS.values(), ids=ROWS)
def test_utterances_that_do_not_fit_are_named(tmp_path, over, message):
    path = bc_lstm(tmp_path)
    row = {"text": "Hi", "split": "train", "y": "joy", "dialog": "0", "utterance": "0"}
    save(path, [[row, row | {"utterance": "1"} | over], 0, 0, 0, 0, {name: k for k, name in enumerate(MELD)}])
    with pytest.raises(CorpusError, match=message):
        read_features(path)
