"""COGMEN's samples: read as plain attributes, their class never imported."""

import sys

import numpy as np
import pytest

from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.feature_files.unpickle import Record, load
from tests.helpers.field_pickles import cogmen


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_the_layout(tmp_path, protocol):
    found = read_features(cogmen(tmp_path / "data_iemocap_4.pkl", protocol=protocol))
    table = found.manifest.table
    assert "cogmen" not in sys.modules
    assert (found.layout, found.manifest.labels) == ("COGMEN", ("hap", "sad", "neu", "ang"))
    assert table["utterance"].tolist() == [
        "Ses02F_impro01/0", "Ses02F_impro01/1", "Ses02F_impro01/2", "Ses01M_script02_1/0", "Ses02M_impro04/0",
        "Ses02M_impro04/1", "Ses05F_impro07/0",
    ]  # fmt: skip
    assert table["split"].tolist() == ["train"] * 4 + ["valid"] * 2 + ["test"]
    assert table["label"].tolist() == ["hap", "ang", "sad", "neu", "sad", "hap", "ang"]
    assert table["speaker"].tolist() == ["M", "F", "M", "M", "M", "F", "M"]
    assert table["text"].tolist()[1] == "It's 1."
    assert found.features["text"].tolist() == [[10.0] * 5] * 3 + [[20.0] * 5] + [[30.0] * 5] * 2 + [[40.0] * 5]
    assert found.features["audio"][:3].tolist() == [[1, 1], [2, 2], [3, 3]]
    assert found.features["visual"][5].tolist() == [2.0] * 4


def test_samples_without_sentence_embeddings_give_their_text(tmp_path):
    found = read_features(cogmen(tmp_path / "f.pkl", "dgcn.Sample"))
    assert found.features["text"][:4].tolist() == [[-1.0] * 3] * 3 + [[-2.0] * 3]
    spoken = cogmen(tmp_path / "f.pkl", sbert_sentence_embeddings=None, text=["a", "b", "c"])
    assert list(read_features(spoken).features) == ["audio", "visual"]


def test_the_parts_of_a_dialogue_are_dialogues(tmp_path):
    table = read_features(cogmen(tmp_path / "f.pkl", vid="Ses01M_script02_1")).manifest.table
    assert table["dialogue"].tolist()[:4] == ["Ses01M_script02_1"] * 3 + ["Ses01M_script02_1/part2"]


BAD = {
    "label": ({"label": [[0, 1], [1, 0], [0, 0]]}, "expected labels as whole numbers from 0 on, found list"),
    "fewer": ({"label": [1]}, "expected as many entries in every field"),
    "widths": ({"audio": [[1.0], [2.0], [3.0]]}, "audio features of one width, found widths [1, 2]"),
    "none": ({"speaker": None}, "expected a list of its speakers, found none"),
}


@pytest.mark.parametrize(("over", "message"), BAD.values(), ids=BAD)
def test_parts_that_do_not_fit_are_named_in_one_line(tmp_path, over, message):
    path = cogmen(tmp_path / "f.pkl", **over)
    with pytest.raises(CorpusError) as error:
        read_features(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("module", ["cogmen.Sample.x", "other.Sample", "cogmen", "cogmen.utils"])
def test_a_class_of_another_module_is_refused(tmp_path, module):
    with pytest.raises(UnsafePickleError, match=rf"refused {module}.Sample"):
        read_features(cogmen(tmp_path / "f.pkl", module))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_an_attribute_with_a_payload_is_refused_before_it_runs(tmp_path):
    path = cogmen(tmp_path / "f.pkl", audio=[Touch(tmp_path / "mark")])
    with pytest.raises(UnsafePickleError, match="refused "):
        read_features(path)
    assert not (tmp_path / "mark").exists()


SAMPLE = b"\x80\x02ccogmen.Sample\nSample\n"
HOSTILE = {
    "state that is no mapping": (SAMPLE + b")\x81(K\x01tb.", "refused an object that is more than its attributes"),
    "slots": (SAMPLE + b")\x81N}U\x01aK\x01s\x86b.", "refused an object that is more than its attributes"),
    "numbers as names": (SAMPLE + b")\x81}K\x01K\x02sb.", "refused an object that is more than its attributes"),
    "the class is changed": (SAMPLE + b"}U\x01aK\x01sb.", "expected a whole pickle"),
    "made with arguments": (SAMPLE + b"K\x01\x85\x81.", "expected a whole pickle"),
    "called with arguments": (SAMPLE + b"K\x01\x85R.", "expected a whole pickle"),
    "a method": (b"\x80\x04\x8c\x0dcogmen.Sample\x8c\x0fSample.__init__\x93.", "refused cogmen.Sample.Sample.__init__"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hand_made_samples_do_nothing_more_than_fail(tmp_path, data, message):
    before = dict(vars(Record))
    (tmp_path / "f.pkl").write_bytes(data)
    with pytest.raises((CorpusError, UnsafePickleError), match=message):
        load(tmp_path / "f.pkl")
    assert dict(vars(Record)) == before


def test_a_list_that_holds_others_is_refused(tmp_path):
    (tmp_path / "f.pkl").write_bytes(SAMPLE[:2] + b"}U\x05train]" + SAMPLE[2:] + b")\x81aK\x01as.")
    with pytest.raises(CorpusError, match="expected a list of samples in train, found others"):
        read_features(tmp_path / "f.pkl")
    assert np.all(load(tmp_path / "f.pkl")["train"][1] == 1)
