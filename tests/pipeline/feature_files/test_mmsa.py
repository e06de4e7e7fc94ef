"""MMSA's and MMSA-FET's pickles: frames become the mean over the real ones, a video's clips a dialogue."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline.corpora.scan import FeatureSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.corpus import read
from bigfusion.pipeline.feature_files.reader import read_features
from tests.helpers.field_pickles import bc_lstm, cogmen, daily_dialogue, mmsa, mmsa_split, save, sims


@pytest.mark.parametrize("front", [False, True], ids=["padded behind", "padded in front"])
@pytest.mark.parametrize("aligned", [False, True], ids=["with lengths", "aligned"])
def test_the_layout(tmp_path, aligned, front):
    found = read_features(mmsa(tmp_path / "unaligned_50.pkl", aligned=aligned, front=front))
    table = found.manifest.table
    assert (found.layout, found.manifest.labels) == ("MMSA", ("negative", "neutral", "positive"))
    assert table["utterance"].tolist() == ["v1/2", "v1/10", "v2$_$x/1", "v3/0001", "v4/1"]
    assert table["dialogue"].tolist() == ["v1", "v1", "v2$_$x", "v3", "v4"]
    assert table["turn"].tolist() == [0, 1, 0, 0, 0]
    assert table["split"].tolist() == ["train", "train", "train", "valid", "test"]
    assert table["speaker"].tolist() == ["v1", "v1", "v2$_$x", "v3", "v4"]
    assert table["label"].tolist() == ["negative", "positive", "neutral", "positive", "negative"]
    assert table["text"].tolist()[0] == "I say v1$_$2"
    # clip n: frames 10 n + 1 ... 10 n + n + 2, tokens 1000 n + 1 ... 1000 n + n + 1; v1/2 is clip 2 of its split
    assert found.features["audio"].tolist() == [[22.5] * 2, [1.5] * 2, [12.0] * 2, [1.5] * 2, [1.5] * 2]
    assert found.features["visual"].tolist() == [[202.5] * 3, [1.5] * 3, [102.0] * 3, [1.5] * 3, [1.5] * 3]
    assert found.features["text"].tolist() == [[2002.0] * 4, [1.0] * 4, [1001.5] * 4, [1.0] * 4, [1.0] * 4]
    assert found.manifest.notes == ()
    assert sum(found.filled.values()) == 0


def test_a_regression_reads_the_numbers(tmp_path):
    path = mmsa(tmp_path / "f.pkl")
    manifest = scan(FeatureSettings(kind="features", path=path, task="regression"), FileDigests())
    assert manifest.labels == ()
    assert manifest.table["value"].tolist() == [-2.2, 1.5, 0.0, 0.6, -3.0]
    assert manifest.summary()["unlabelled"] == {}, "a number is a label"
    gap = read_features(mmsa(path, regression_labels=np.array([1.0, np.nan, 2.0])), regression=True).manifest
    assert gap.summary()["unlabelled"] == {"train": 1}
    assert read_features(path, label_map={"neutral": "", "negative": "bad"}).manifest.labels == ("bad", "positive")


def test_without_annotations_the_codes_or_the_signs_are_the_classes(tmp_path):
    content = {
        "train": mmsa_split([f"v{n}$_$1" for n in range(4)], [0.1, 0.0, -1.0, 2.0]),
        "test": mmsa_split(["w$_$1"], [-0.0]),
    }
    for part in content.values():
        del part["annotations"]
    table = read_features(save(tmp_path / "f.pkl", content), ("low", "none", "high")).manifest.table
    assert table["label"].tolist() == ["high", "none", "low", "high", "none"]
    for part in content.values():
        del part["classification_labels"]
    manifest = read_features(save(tmp_path / "f.pkl", content)).manifest
    assert manifest.table["label"].tolist() == ["positive", "neutral", "negative", "positive", "neutral"]


def labels_of(path, **settings):
    return scan(FeatureSettings(kind="features", path=path, **settings), FileDigests())


def test_a_regression_reads_the_numbers_of_one_modality(tmp_path):
    path = sims(tmp_path / "unaligned_39.pkl")
    common = labels_of(path, task="regression")
    assert common.table["value"].tolist() == [-0.8, 0.6, 0.0, 0.4, -1.0]
    text = labels_of(path, task="regression", target="label_T")
    assert np.float32(text.table["value"].tolist()).tolist() == pytest.approx([np.nan, -0.2, 0, 1, -0.4], nan_ok=True)
    assert text.summary()["unlabelled"] == {"train": 1}
    vision = labels_of(path, task="regression", target="label_V")
    assert vision.table["value"].tolist() == pytest.approx([0, 0, -0.6, 0, 0.2])
    columns = ["utterance", "split", "dialogue", "turn", "speaker", "text"]
    assert vision.table[columns].equals(common.table[columns]), "the rest is the same"


def test_classes_of_one_modality_are_the_signs_of_its_numbers_and_never_the_common_annotation(tmp_path):
    path = sims(tmp_path / "unaligned_39.pkl")
    text = labels_of(path, target="label_T")
    assert text.labels == ("negative", "neutral", "positive")
    assert text.table["label"].tolist() == ["", "negative", "neutral", "positive", "negative"]
    audio = labels_of(path, target="label_A", label_map={"positive": "loud"})
    assert audio.labels == ("loud",)
    without = {split: {"regression_labels_T": None} for split in ("train", "valid", "test")}
    path = sims(tmp_path / "codes.pkl", **without)
    assert labels_of(path, target="label_T").table["label"].tolist() == ["", "0", "1", "2", "0"]
    named = labels_of(path, target="label_T", labels=("low", "none", "high"))
    assert named.table["label"].tolist() == ["", "low", "none", "high", "low"]


def test_the_features_are_the_same_under_every_target(tmp_path):
    path = sims(tmp_path / "unaligned_39.pkl")
    common, text = (read(FeatureSettings(kind="features", path=path, target=target)) for target in ("label", "label_T"))
    for name, values in common.features.items():
        np.testing.assert_array_equal(values, text.features[name])


def test_labels_of_a_modality_that_the_file_lacks_are_named_in_one_line(tmp_path):
    path = mmsa(tmp_path / "mosi.pkl")
    with pytest.raises(CorpusError) as error:
        labels_of(path, target="label_A")
    assert str(error.value) == (
        f"{path}: expected regression_labels_A or classification_labels_A in every split"
        ' (corpus.target = "label_A"), found classification_labels, regression_labels in train;'
        " leave corpus.target out to read the common label"
    )
    numbers = {split: {"regression_labels_A": None} for split in ("train", "valid", "test")}
    path = sims(tmp_path / "codes.pkl", **numbers)
    with pytest.raises(CorpusError, match=r"expected regression_labels_A in every .* in train; leave corpus.target"):
        labels_of(path, target="label_A", task="regression")
    path = sims(tmp_path / "half.pkl", test={"regression_labels_V": None, "classification_labels_V": None})
    with pytest.raises(CorpusError, match=r"found .*classification_labels_A in test; leave"):
        labels_of(path, target="label_V")
    path = sims(tmp_path / "short.pkl", valid={"regression_labels_V": np.array([0.1, 0.2])})
    with pytest.raises(CorpusError, match="expected 1 numbers in regression_labels_V, found 2"):
        labels_of(path, target="label_V")
    with pytest.raises(CorpusError, match=r"expected MMSA's pickle, .*found COGMEN"):
        labels_of(cogmen(tmp_path / "cogmen.pkl"), target="label_V")
    parquet = tmp_path / "f.parquet"
    columns = {"dialogue": ["d"], "utterance": ["u"], "speaker": ["s"], "label": ["a"], "text": [[1.0]]}
    pq.write_table(pa.table(columns), parquet)
    with pytest.raises(CorpusError, match=r"expected MMSA's pickle, .*found parquet"):
        labels_of(parquet, target="label_V")


def test_one_modality_as_lists_and_two_dimensions_is_enough(tmp_path):
    part = {"id": ["a$_$1", "a$_$2"], "audio": np.array([[1, 2], [3, 4]], np.int16), "regression_labels": [0.5, -0.5]}
    found = read_features(save(tmp_path / "f.pkl", {"train": part, "valid": {}, "test": {}}), regression=True)
    assert list(found.features) == ["audio"]
    assert found.features["audio"].tolist() == [[1, 2], [3, 4]]
    assert found.manifest.table["value"].tolist() == [0.5, -0.5]


def test_a_zero_frame_inside_the_length_is_real_and_a_clip_of_zeros_is_absent(tmp_path):
    audio = np.zeros((3, 6, 2))
    audio[0, [0, 2]] = 3.0  # length 2: cut behind the first; see below
    audio[1, [0, 2]] = 3.0  # length 3: one real frame is zero
    found = read_features(mmsa(tmp_path / "f.pkl", audio=audio, audio_lengths=np.array([3, 3, 4])))
    rows = dict(zip(found.manifest.table["utterance"], range(5), strict=True))
    assert found.features["audio"][rows["v2$_$x/1"]].tolist() == [2.0, 2.0]
    assert not found.present["audio"][rows["v1/2"]]
    assert found.present["visual"].all()


def test_lengths_that_do_not_fit_are_noted_and_frames_that_are_not_zero_count(tmp_path):
    found = read_features(mmsa(tmp_path / "f.pkl", audio_lengths=np.array([1, 1, 2])))
    # clip 0 has frames 1, 2; clip 1 three; clip 2 four: none fits
    rows = dict(zip(found.manifest.table["utterance"], found.features["audio"].tolist(), strict=True))
    assert rows["v1/10"] == [1.5, 1.5]
    assert rows["v2$_$x/1"] == [12.0, 12.0]
    assert "audio_lengths of 3 clips do not fit their frames" in found.manifest.notes[0]
    longer = read_features(mmsa(tmp_path / "f.pkl", audio_lengths=np.array([2, 3, 400])))  # cut to six frames
    rows = dict(zip(longer.manifest.table["utterance"], longer.features["audio"].tolist(), strict=True))
    assert rows["v1/2"] == [15.0, 15.0]  # (21 + 22 + 23 + 24) / 6


def test_numbers_that_are_not_finite_do_not_count(tmp_path):
    audio = mmsa_split(["a"] * 3, [0.0] * 3)["audio"]
    audio[0, 0, 0], audio[1, :3, 1] = -np.inf, np.nan
    found = read_features(mmsa(tmp_path / "f.pkl", audio=audio), fill=False)
    rows = dict(zip(found.manifest.table["utterance"], found.features["audio"], strict=True))
    assert rows["v1/10"].tolist() == [2.0, 1.5]
    assert rows["v2$_$x/1"][0] == 12.0
    assert np.isnan(rows["v2$_$x/1"][1])


def test_labels_of_two_kinds_are_refused(tmp_path):
    clips = mmsa_split(["v4$_$1"], [-3.0])
    del clips["annotations"]
    path = save(tmp_path / "mixed.pkl", {"train": mmsa_split(["v1$_$1"], [1.5]), "test": clips})
    with pytest.raises(CorpusError, match="one kind of labels in every split, found annotations in train, "):
        read_features(path)


def test_a_video_in_two_splits_is_two_dialogues(tmp_path):
    content = {"train": mmsa_split(["v$_$1"], [1.0]), "valid": mmsa_split(["v$_$2"], [1.0]), "test": {}}
    table = read_features(save(tmp_path / "f.pkl", content)).manifest.table
    assert table[["dialogue", "utterance"]].values.tolist() == [["v/train", "v/1"], ["v/valid", "v/2"]]


BAD = {
    "id": ({"id": np.array(["v1", "v2", "v3"])}, "train: expected ids like VIDEO$_$CLIP, found 'v1'"),
    "twice": ({"id": np.array(["v$_$1", "v$_$1", "v$_$2"])}, "an id that no other utterance has"),
    "fewer": ({"audio": np.ones((2, 6, 2))}, "train: expected 3 audio, as many as ids, found 2"),
    "flat": (
        {"vision": np.ones(3)},
        "train: expected vision as numbers of shape (clips, frames, width), found float64",
    ),
    "words": ({"text": np.array(["a", "b", "c"])}, "train: expected text as numbers of shape"),
    "lengths": ({"audio_lengths": np.array([1, 2])}, "train: expected 3 lengths in audio_lengths"),
    "width": ({"audio": np.ones((3, 6, 5))}, "expected audio features of one width in every split, found [2, 5]"),
    "numbers": (
        {"regression_labels": np.array(["a", "b", "c"])},
        "expected regression_labels as a list of numbers, found others",
    ),
}


@pytest.mark.parametrize(("over", "message"), BAD.values(), ids=BAD)
def test_parts_that_do_not_fit_are_named_in_one_line(tmp_path, over, message):
    path = mmsa(tmp_path / "f.pkl", **over)
    with pytest.raises(CorpusError) as error:
        read_features(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_no_clips_and_no_features_are_named(tmp_path):
    empty = {"train": {"id": np.array([]), "audio": np.zeros((0, 1, 1))}}
    with pytest.raises(CorpusError, match="expected clips in train, valid or test, found none"):
        read_features(save(tmp_path / "f.pkl", empty))
    zeros = {"train": {"id": np.array(["a$_$1"]), "audio": np.zeros((1, 1, 1))}}
    with pytest.raises(CorpusError, match="found none that differ from zero"):
        read_features(save(tmp_path / "f.pkl", zeros))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


def test_a_payload_is_refused_before_it_runs(tmp_path):
    path = mmsa(tmp_path / "f.pkl", annotations=[Touch(tmp_path / "mark")] * 3)
    with pytest.raises(UnsafePickleError, match="refused "):
        read_features(path)
    assert not (tmp_path / "mark").exists()


def test_small_files_that_unfold_without_end_are_refused_quickly(tmp_path):
    """Twelve levels of ten in every place: a million million entries, were the nesting followed or printed."""
    level: list = [1.0] * 10
    for _ in range(12):
        level = [level] * 10
    for key in ("id", "audio", "text_bert", "audio_lengths", "regression_labels", "classification_labels"):
        with pytest.raises(CorpusError):
            read_features(mmsa(tmp_path / "f.pkl", **{key: [level] * 3, **({"text": level} if "bert" in key else {})}))
    with pytest.raises(CorpusError, match="expected vid as text or a number, found a list"):
        read_features(cogmen(tmp_path / "f.pkl", vid=level))
    with pytest.raises(CorpusError, match="expected audio entries that are lists of numbers"):
        read_features(cogmen(tmp_path / "f.pkl", audio=[level] * 3))
    words = {"tr_c0": [level], "tr_c1": [[1], [1]], "te_c0": [[1]], "va_c0": [[1], [1]]}
    with pytest.raises(CorpusError, match="expected the words of dialogue tr_c0 as a list of numbers"):
        read_features(daily_dialogue(tmp_path / "daily_dialogue.pkl", words=words))
    row = {"text": "Hi", "split": "train", "y": "joy", "dialog": "0", "utterance": "0"}
    for key in row:
        path = bc_lstm(tmp_path)
        save(path, [[row | {key: level}], 0, 0, 0, 0, {"joy": 0}])
        with pytest.raises(CorpusError, match=f"expected {key} as text or a number, found a list"):
            read_features(path)
