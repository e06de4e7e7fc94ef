"""Feature files in Parquet, with splits and labels of their own, and files that are none."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline.corpora.scan import FeatureSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD, corpus_of


def table(**over) -> pa.Table:
    columns = {
        "dialogue": ["b", "b", "a", "b"], "utterance": ["b_0", "b_1", "a_0", "b_2"], "speaker": ["F", "M", "F", "F"],
        "label": pa.array([1, None, 0, 2], pa.int8()),
        "text": pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.float16(), 2)),
        "audio": pa.array([[1.0, None], None, [3.0, 5.0], [float("nan")] * 2], pa.list_(pa.float64())),
    }  # fmt: skip
    return pa.table({name: column for name, column in {**columns, **over}.items() if column is not None})


def parquet(path: Path, **over) -> Path:
    pq.write_table(table(**over), path)
    return path


def test_the_parquet_layout(tmp_path):
    found = read_features(parquet(tmp_path / "f.parquet"))
    rows = found.manifest.table
    assert found.layout == "parquet"
    assert rows["utterance"].tolist() == ["b_0", "b_1", "b_2", "a_0"]
    assert rows["turn"].tolist() == [0, 1, 2, 0]
    assert rows["split"].tolist() == ["train"] * 4
    assert rows["label"].tolist() == ["1", "", "2", "0"]
    assert found.manifest.labels == ("0", "1", "2")
    assert found.features["text"].tolist() == [[1, 2], [3, 4], [7, 8], [5, 6]]
    assert found.features["audio"].tolist() == [[1, 5], [0, 0], [0, 0], [3, 5]]
    assert found.present["audio"].tolist() == [True, False, False, True]
    assert (found.filled["audio"], found.features["audio"].dtype) == (1, np.float32)
    scanned = scan(FeatureSettings(kind="features", path=tmp_path / "f.parquet"), FileDigests())
    assert scanned.digest == found.manifest.digest


def test_the_parquet_s_own_splits(tmp_path):
    found = read_features(parquet(tmp_path / "f.parquet", split=["test", "test", "train", "test"]))
    assert found.manifest.counts()["utterances"] == {"train": 1, "test": 3}
    assert found.features["audio"][0].tolist() == [1, 5], "the mean is that of the training rows"
    with pytest.raises(CorpusError, match="each dialogue in one split"):
        read_features(parquet(tmp_path / "f.parquet", split=["test", "train", "train", "test"]))


BAD_TABLES = {
    "no speaker": ({"speaker": None}, "expected rows with dialogue, utterance, speaker, label and at least one"),
    "no features": ({"text": None, "audio": None}, "at least one of text, audio, visual"),
    "strange labels": ({"label": [[1], [2], [3], [4]]}, "column label: expected text or numbers, found list"),
    "halves as labels": ({"label": [0.5, 1, 2, 0]}, "expected classes, found real numbers (0.5; rows: 1)"),
    "negative": ({"label": [-2, 0, 0, 0]}, "expected classes, found -2 in 1 of 4 rows, which may be a class or none"),
    "huge": ({"label": [10**9, 0, 0, 0]}, "expected class codes from 0 on"),
    "transcripts": ({"text": ["a", "b", "c", "d"]}, "column text: expected lists of numbers, found string"),
    "words": ({"text": [["a"], ["b"], ["c"], ["d"]]}, "column text: expected lists of numbers, found list"),
    "lists of lists": ({"text": [[[1.0]]] * 4}, "column text: expected lists of numbers"),
    "widths": ({"text": [[1.0], [1.0, 2.0], [1.0], [1.0]]}, "expected lists of one length, found lengths [1, 2]"),
    "empty lists": ({"text": [[], [], [], []]}, "expected lists of"),
    "all null": ({"text": pa.nulls(4), "audio": pa.nulls(4)}, "expected features in text or audio, found 4 rows that"),
    "up": ({"utterance": ["../b", "b_1", "a_0", "b_2"]}, "expected an id without"),
    "twice": ({"utterance": ["x", "x", "a_0", "b_2"]}, "an id that no other utterance has"),
}  # fmt: skip


@pytest.mark.parametrize(("over", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_what_is_wrong_with_a_parquet_is_named(tmp_path, over, message):
    path = parquet(tmp_path / "f.parquet", **over)
    with pytest.raises(CorpusError) as error:
        read_features(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "nulls", [pa.nulls(4), pa.nulls(4, pa.list_(pa.float32())), pa.nulls(4, pa.list_(pa.float32(), 2))]
)
def test_a_column_that_is_null_in_every_row_is_no_modality(tmp_path, nulls):
    found = read_features(parquet(tmp_path / "f.parquet", text=nulls))
    assert list(found.features) == ["audio"]
    assert found.features["audio"].tolist() == [[1, 5], [0, 0], [0, 0], [3, 5]]


def test_other_files(tmp_path):
    for name, content, message in (
        ("f.parquet", b"PAR1", "expected a Parquet file, found"),
        ("f.npz", b"", "expected features in a file whose name ends in .parquet, .pq, .pkl, .pickle, .p"),
        ("f.pkl", b"PK", "expected a whole pickle"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorpusError, match=message):
            read_features(tmp_path / name)
    with pytest.raises(CorpusError, match="no such file"):
        read_features(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("column", "labels", "names", "expected"),
    [
        (["sad", "", "hap", None], (), ("hap", "sad"), ["sad", "", "hap", ""]),
        (["sad", "", "hap", None], IEMOCAP, IEMOCAP, ["sad", "", "hap", ""]),
        (["joy", "anger", "neutral", "joy"], (), ("neutral", "joy", "anger"), ["joy", "anger", "neutral", "joy"]),
        (["up", "down", "up", "up"], (), ("down", "up"), ["up", "down", "up", "up"]),
        (["up", "down", "up", "up"], ("up", "flat", "down"), ("up", "flat", "down"), ["up", "down", "up", "up"]),
        (["2", "0", "-1", "2"], ("up", "flat", "down"), ("up", "flat", "down"), ["down", "up", "", "down"]),
        ([2.0, 0.0, float("nan"), 2.0], ("up", "flat", "down"), ("up", "flat", "down"), ["down", "up", "", "down"]),
        (pa.array(["a", "b", "a", "a"]).dictionary_encode(), (), ("a", "b"), ["a", "b", "a", "a"]),
    ],
)
def test_labels_are_codes_or_names(tmp_path, column, labels, names, expected):
    path = parquet(tmp_path / "f.parquet", dialogue=["a", "a", "b", "b"], label=column)
    found = read_features(path, labels)
    assert found.manifest.labels == names
    assert found.manifest.table["label"].tolist() == expected


def test_codes_that_other_names_are_given_to_are_noted(tmp_path):
    """A run that was trained on names sorted them; the codes of another file may have another order."""
    path = parquet(tmp_path / "f.parquet", label=[1, None, 0, 2])
    names = ("angry", "happy", "sad", "tired")
    said = "label codes are read as 0 = angry, 1 = happy, 2 = sad"
    assert said in read_features(path, names).manifest.notes
    assert not any("label codes" in note for note in read_features(path).manifest.notes)
    own = read_features(path, ("0", "1", "2")).manifest  # of a run that was trained on codes
    named = read_features(parquet(path, label=["happy", "", "angry", "sad"]), names).manifest
    assert not any("label codes" in note for note in (*own.notes, *named.notes))
    iemocap = sentiment(path, dict.fromkeys(range(6), 1), dialogue=[f"Ses01F_impro0{row}" for row in range(6)])
    assert not read_features(iemocap, IEMOCAP).manifest.notes, "the file is recognised"
    assert "0 = neutral, 1 = surprise" in read_features(iemocap, MELD).manifest.notes[0]


@pytest.mark.parametrize("benchmark", [IEMOCAP, MELD])
def test_names_are_a_benchmark_s_only_if_all_of_its_classes_occur(tmp_path, benchmark):
    """A corpus of one's own with neutral, sadness, joy and anger has four classes, and is not MELD."""
    whole = read_features(sentiment(tmp_path / "f.parquet", dict.fromkeys(reversed(benchmark), 1))).manifest
    assert whole.labels == benchmark
    for left_out in benchmark:
        some = {name: 1 for name in reversed(benchmark) if name != left_out}
        labels = read_features(sentiment(tmp_path / "f.parquet", some)).manifest.labels
        assert labels == tuple(name for name in benchmark if name != left_out)
        assert corpus_of(labels) is None


def test_names_that_are_not_among_the_given_ones_are_refused(tmp_path):
    path = parquet(tmp_path / "f.parquet", label=["up", "down", "up", "left"])
    with pytest.raises(CorpusError, match="column label: expected one of up, down, found left"):
        read_features(path, ("up", "down"))


def test_utterances_numbered_anew_in_each_dialogue(tmp_path):
    found = read_features(parquet(tmp_path / "f.parquet", dialogue=["b", "b", "a", "b"], utterance=[0, 1, 0, 2]))
    assert found.manifest.table["utterance"].tolist() == ["b/0", "b/1", "b/2", "a/0"]


def test_gaps_can_be_left(tmp_path):
    filled, left = (read_features(parquet(tmp_path / "f.parquet"), fill=fill) for fill in (True, False))
    gaps = np.isnan(left.features["audio"])
    assert gaps.sum() == left.filled["audio"] == 1
    np.testing.assert_array_equal(
        np.where(gaps, filled.features["audio"], left.features["audio"]), filled.features["audio"]
    )
    assert left.present["audio"].tolist() == filled.present["audio"].tolist()


@pytest.mark.parametrize(
    ("speaker", "rows"),
    [(pa.nulls(4), 3), (["", "", "", ""], 3), (["F", None, "M", "F"], 1), (["F", "M", None, "F"], 0)],
)
def test_utterances_of_a_conversation_without_a_speaker_are_noted(tmp_path, speaker, rows):
    features = {"text": [[1.0]] * 4, "audio": None, "label": [0, 1, 0, 1]}  # rows 0, 1, 3 are a conversation
    notes = read_features(parquet(tmp_path / "f.parquet", speaker=speaker, **features)).manifest.notes
    said = f"{rows} of 4 rows name no speaker: in a dialogue they count as one person's, and so do its emotion shifts"
    assert notes == ((said,) if rows else ())


@pytest.mark.parametrize("fill", [True, False])
def test_what_is_missing_in_the_features_is_noted(tmp_path, fill):
    nan, inf = float("nan"), float("inf")
    columns = {
        "text": [[1.0, 2.0]] * 4,
        "audio": [[1.0, nan], [inf, 2.0], [nan, -inf], None],
        "visual": [[1.0, 0.0, 2.0], [inf, 0.0, 0.0], [0.0] * 3, [0.0] * 3],
    }
    manifest = read_features(parquet(tmp_path / "f.parquet", **columns, label=[0, 1, 0, 1]), fill=fill).manifest
    assert manifest.notes == (
        "audio: 2 numbers are missing (NaN or infinite), replaced by the mean of the training rows",
        "audio: absent in 2 of 4 rows, for they hold no number",
        "visual: 1 number is missing (NaN or infinite), replaced by the mean of the training rows",
    )


def sentiment(path: Path, counts: dict, **over) -> Path:
    """Single utterances, so many of each label."""
    labels = [label for label, number in counts.items() for _ in range(number)]
    names = [f"d{row}" for row in range(len(labels))]
    columns = {"dialogue": names, "utterance": names, "speaker": names, "label": labels, "text": [[1.0]] * len(labels)}
    pq.write_table(pa.table({**columns, **over}), path)
    return path


@pytest.mark.parametrize("kind", [int, float, str])
def test_minus_one_as_frequent_as_a_class_is_a_class(tmp_path, kind):
    path = sentiment(tmp_path / "f.parquet", {kind(1): 20, kind(0): 21, kind(-1): 19})
    manifest = read_features(path).manifest
    assert manifest.labels == ("-1", "0", "1")
    assert manifest.table["label"].value_counts().to_dict() == {"0": 21, "1": 20, "-1": 19}
    assert "label -1 (19 of 60 rows) is a class" in manifest.notes[0]
    none = read_features(path, label_map={"-1": ""}).manifest
    assert (none.labels, none.notes[0]) == (("0", "1"), "19 of 60 rows have no label (-1 19)")
    named = read_features(path, label_map={"-1": "bad", "0": "so", "1": "good"}).manifest
    assert named.labels == ("bad", "good", "so")
    with pytest.raises(CorpusError, match="expected codes from 0 on for bad, so, good, found -1 to 1"):
        read_features(path, ("bad", "so", "good"))
    four = read_features(path, ("a", "b", "c", "d")).manifest  # of a run: whatever -1 is, it is none of these
    assert four.table["label"].value_counts().to_dict() == {"a": 21, "b": 20, "": 19}
    assert read_features(path, ("so", "good")).manifest.table["label"].value_counts().to_dict() == {
        "so": 21, "good": 20, "": 19,
    }  # fmt: skip
    assert read_features(path, ("-1", "0", "1")).manifest.table["label"].value_counts()["-1"] == 19


def test_minus_one_in_doubt_is_refused_and_a_rare_one_is_none_and_counted(tmp_path):
    path = sentiment(tmp_path / "f.parquet", {-1: 15, 0: 20, 1: 20, 2: 20})
    with pytest.raises(CorpusError, match="found -1 in 15 of 75 rows, which may be a class or none"):
        read_features(path)
    assert not read_features(path, labelled=False).manifest.table["label"].any()
    rare = read_features(sentiment(tmp_path / "f.parquet", {-1: 5, 0: 20, 1: 20, 2: 20})).manifest
    assert (rare.labels, rare.notes) == (("0", "1", "2"), ("5 of 65 rows have no label (-1 5)",))


@pytest.mark.parametrize("column", [["nan", "up", "NULL", "up"], ["up", "N/A", "None", ""]])
def test_empty_tokens_are_no_label(tmp_path, column):
    manifest = read_features(parquet(tmp_path / "f.parquet", label=column)).manifest
    assert manifest.labels == ("up",)


def test_labels_in_doubt_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"f\.parquet: column label: expected classes that differ, found \"Up\""):
        read_features(parquet(tmp_path / "f.parquet", label=["Up", "up", "Up", "Up"]))
    with pytest.raises(CorpusError, match="expected at most one class for ten rows, found 30 in 30 rows"):
        read_features(sentiment(tmp_path / "f.parquet", {f"score {row}": 1 for row in range(30)}))
    with pytest.raises(CorpusError, match="found real numbers"):
        read_features(sentiment(tmp_path / "f.parquet", {0.25: 2, 1.5: 2}))


def test_names_of_splits_that_export_and_others_write(tmp_path):
    names = ["validation", "validation", "Training", "validation"]
    manifest = read_features(parquet(tmp_path / "f.parquet", split=names)).manifest
    assert manifest.table["split"].tolist() == ["valid", "valid", "valid", "train"]
    wrong = {"eval": "column split: expected one of train, training, valid.*found 'eval'",
             "dev": "expected one name for valid, found 'dev' and 'val'"}  # fmt: skip
    for name, message in wrong.items():
        with pytest.raises(CorpusError, match=message):
            read_features(parquet(tmp_path / "f.parquet", split=[name, name, "val", name]))


TURNS = {"dialogue": ["a", "a", "b", "a"], "utterance": ["u2", "u10", "x", "u1"], "text": [[2.0], [10.0], [0.0], [1.0]],
         "audio": None}  # fmt: skip


@pytest.mark.parametrize("turn", [[2, 10, 5, 1], [0.5, 7.25, float("inf"), -1.0], ["2", "10", "0", "1"]])
def test_the_column_turn_orders_the_utterances_of_a_dialogue(tmp_path, turn):
    found = read_features(parquet(tmp_path / "f.parquet", **TURNS, turn=turn))
    assert found.manifest.table["utterance"].tolist() == ["u1", "u2", "u10", "x"]
    assert found.manifest.table["turn"].tolist() == [0, 1, 2, 0]
    assert found.manifest.table["label"].tolist() == ["2", "1", "", "0"]
    assert found.features["text"].tolist() == [[1], [2], [10], [0]]
    assert found.manifest.notes[0] == "column turn: orders 1 dialogue otherwise than the rows of the file"


def test_a_file_in_order_is_the_same_with_and_without_turns(tmp_path):
    without = read_features(parquet(tmp_path / "f.parquet"))
    for turn in ([0, 1, 0, 2], [4, 4, 7, 4], pa.nulls(4)):  # several utterances in a turn have the order of their rows
        found = read_features(parquet(tmp_path / "f.parquet", turn=turn))
        assert (found.manifest.digest, found.manifest.notes) == (without.manifest.digest, without.manifest.notes)
        for name, values in found.features.items():
            np.testing.assert_array_equal(values, without.features[name])


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        ([0, 1, None, 3], "column turn: expected a number in each row, found 1 rows without"),
        (["Hello.", "0", "1", "2"], "column turn: expected numbers, found string; name it otherwise"),
        ([[0], [1], [2], [3]], "column turn: expected numbers, found list"),
    ],
)
def test_turns_that_are_no_numbers_are_refused(tmp_path, turn, message):
    with pytest.raises(CorpusError, match=f"f.parquet: {message}"):
        read_features(parquet(tmp_path / "f.parquet", turn=turn))


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["u1", "u10", "x", "u2"], "u10 stands before u2"),
        ([0, 10, 0, 2], "10 stands before 2"),
        (["F_000", "M_000", "F_000", "F_001"], ""),  # each speaker counts alone
        (["u1", "u2", "u1", "u10"], ""),
        (["a", "b", "c", "d"], ""),
    ],
)
def test_numbers_of_utterances_that_fall_are_noted(tmp_path, ids, said):
    columns = {**TURNS, "utterance": ids, "label": [0, 1, 2, 0]}
    manifest = read_features(parquet(tmp_path / "f.parquet", **columns)).manifest
    assert len(manifest.notes) == bool(said)
    assert all(f"the numbers of utterances fall in 1 dialogue ({said})" in note for note in manifest.notes)
    ordered = read_features(parquet(tmp_path / "f.parquet", **columns, turn=[0, 1, 0, 2])).manifest
    assert ordered.digest == manifest.digest
    assert not ordered.notes, "the order is known"
