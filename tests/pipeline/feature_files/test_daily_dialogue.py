"""DailyDialogue's pickle: words by number become the mean of their vectors."""

import numpy as np
import pytest

from bigfusion.extractors.imported import ImportedExtractor
from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.reader import read_features
from tests.helpers.field_pickles import daily_dialogue, save


def test_the_layout(tmp_path):
    found = read_features(daily_dialogue(tmp_path / "daily_dialogue.pkl"))
    table = found.manifest.table
    assert (found.layout, found.manifest.labels) == ("DailyDialogue", ("happiness", "no_emotion", "anger"))
    assert table["dialogue"].tolist() == ["tr_c1", "tr_c1", "tr_c0", "va_c0", "va_c0", "te_c0"]
    assert table["utterance"].tolist()[:2] == ["tr_c1/0", "tr_c1/1"]
    assert table["split"].tolist() == ["train"] * 3 + ["valid"] * 2 + ["test"]
    assert table["speaker"].tolist() == ["0", "1", "0", "0", "1", "0"]
    assert table["label"].tolist() == ["happiness", "anger", "no_emotion", "no_emotion", "happiness", "anger"]
    assert list(found.features) == ["text"]
    # words 1, 3; none; 4; 2; 1; 2, 2, 3, 1
    assert found.features["text"].tolist() == [[2, 20], [0, 0], [4, 40], [2, 20], [1, 10], [2, 20]]
    assert found.present["text"].tolist() == [True, False, True, True, True, True]


def test_without_their_names_the_codes_stay_and_a_note_says_so(tmp_path):
    manifest = read_features(daily_dialogue(tmp_path / "daily_dialogue.pkl", names=False)).manifest
    assert manifest.labels == ("0", "1", "2")
    assert "emotion_label_decoder.pkl is not beside the file" in manifest.notes[0]


def test_without_the_words_vectors_it_is_refused(tmp_path):
    path = daily_dialogue(tmp_path / "daily_dialogue.pkl")
    (tmp_path / "glv_embedding_matrix").unlink()
    with pytest.raises(CorpusError, match=r"daily_dialogue\.pkl: expected the words' vectors in glv_embedding_matrix"):
        read_features(path)
    with pytest.raises(CorpusError, match=r"beside a file called daily_dialogue\.pkl"):
        read_features(daily_dialogue(tmp_path / "mine.pkl"))


BAD = {
    "word": (
        {"words": {k: [[5]] for k in ("tr_c0", "tr_c1", "te_c0", "va_c0")}},
        "expected words as numbers from 0 to 4",
    ),
    "text": ({"words": {"tr_c0": ["so"]}}, "expected the words of dialogue tr_c0 as a list of numbers"),
    "texts": ({"words": {"tr_c0": [["so"]]}}, "expected the words of dialogue tr_c0 as a list of numbers"),
    "no list": ({"words": {"tr_c0": 1}}, "dialogue tr_c0: expected a list of its utterances' words, found none"),
    "label": ({"labels": {"tr_c1": [0, 3], "tr_c0": [1], "te_c0": [2], "va_c0": [1, 0]}}, "label codes below 3"),
}


@pytest.mark.parametrize(("over", "message"), BAD.values(), ids=BAD)
def test_parts_that_do_not_fit_are_named_in_one_line(tmp_path, over, message):
    path = daily_dialogue(tmp_path / "daily_dialogue.pkl", **over)
    with pytest.raises(CorpusError) as error:
        read_features(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_beside_it_are_read_as_carefully(tmp_path):
    path = daily_dialogue(tmp_path / "daily_dialogue.pkl")
    for content in ({0: "a", 2: "b"}, {0: 1}, ["a"]):
        save(tmp_path / "emotion_label_decoder.pkl", content)
        with pytest.raises(CorpusError, match=r"emotion_label_decoder\.pkl: expected the name of each code"):
            read_features(path)
    save(tmp_path / "glv_embedding_matrix", [1.0])
    with pytest.raises(CorpusError, match="glv_embedding_matrix: expected a vector for each word, found a list"):
        read_features(path)
    save(tmp_path / "glv_embedding_matrix", print)
    with pytest.raises(UnsafePickleError, match=r"refused builtins\.print"):
        read_features(path)


def test_other_vectors_are_other_features(tmp_path):
    path = daily_dialogue(tmp_path / "daily_dialogue.pkl")
    before = ImportedExtractor(path, "text").spec
    assert ImportedExtractor(path, "text").spec == before
    np.zeros((5, 2)).dump(tmp_path / "glv_embedding_matrix")
    after = ImportedExtractor(path, "text").spec
    assert after.weights["file"] == before.weights["file"]
    assert after != before
    daily_dialogue(tmp_path / "mine.pkl")  # reads nothing beside it
    assert set(ImportedExtractor(tmp_path / "mine.pkl", "text").spec.weights) == {"file"}
