"""The pickles of MMGCN, COSMIC and MELD: every layout is read, and what is none is refused before it runs."""

import pickle
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigfusion.pipeline.corpora.scan import FeatureSettings, TableSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError, UnsafePickleError
from bigfusion.pipeline.feature_files.pickles import LAYOUTS, MELD_END
from bigfusion.pipeline.feature_files.reader import read_features
from bigfusion.pipeline.tables.labels import IEMOCAP, MELD
from tests.helpers.field_pickles import graphsmile_meld, graphsmile_mosei

WIDTHS = {"text": 5, "audio": 4, "visual": 3}


SENTIMENTS = (0, 1, 2, 2, 1, 2, 2)
"""Of MELD's emotions."""

TURNS = {"Ses03M_impro08b": 3, "Ses01F_impro01": 2, "Ses05F_impro07": 2}


def vectors(kind: str, turns: dict, seed: int, as_list: bool = False) -> dict:
    rng = np.random.default_rng(seed)
    rows = {key: [rng.normal(size=WIDTHS[kind]).astype(np.float32) for _ in range(n)] for key, n in turns.items()}
    return {key: [row.tolist() for row in several] for key, several in rows.items()} if as_list else rows


def fields(turns: dict) -> dict:
    """Every field of every layout, over the same dialogues. The labels count on through them: 2, 3, 4, 5, 0, ..."""
    code = count(2)
    labels = {key: [next(code) % 6 for _ in range(number)] for key, number in turns.items()}
    return {
        "ids": {key: [f"{key}_{'FM'[n % 2]}{n:03}" for n in range(number)] for key, number in turns.items()},
        "speakers": {key: ["FM"[n % 2] for n in range(number)] for key, number in turns.items()},
        "labels": labels,
        "text": vectors("text", turns, 0),
        "audio": vectors("audio", turns, 1),
        "visual": vectors("visual", turns, 2),
        "sentences": {key: [f"it\x92s {n}" for n in range(number)] for key, number in turns.items()},
        "train": ["Ses03M_impro08b", "Ses01F_impro01"],
        "test": ["Ses05F_impro07"],
        "valid": [],
        "other": {key: [SENTIMENTS[label] for label in several] for key, several in labels.items()},
    }


def save(path: Path, content, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def layout(name: str, turns=TURNS, **over) -> tuple:
    values = {**fields(turns), **over}
    return tuple(values[role] for role in LAYOUTS[name].split())


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_mmgcn_of_iemocap(tmp_path, protocol):
    found = read_features(save(tmp_path / "IEMOCAP_features.pkl", layout("MMGCN"), protocol))
    table = found.manifest.table
    assert (found.layout, found.manifest.corpus, found.manifest.labels) == ("MMGCN", "IEMOCAP_features", IEMOCAP)
    assert table["dialogue"].tolist() == ["Ses03M_impro08b"] * 3 + ["Ses01F_impro01"] * 2 + ["Ses05F_impro07"] * 2
    assert table["utterance"].tolist()[:2] == ["Ses03M_impro08b_F000", "Ses03M_impro08b_M001"]
    assert table["split"].tolist() == ["train"] * 5 + ["test"] * 2
    assert table["turn"].tolist() == [0, 1, 2, 0, 1, 0, 1]
    assert table["speaker"].tolist() == ["F", "M", "F", "F", "M", "F", "M"]
    assert table["label"].tolist()[:3] == ["neu", "ang", "exc"]
    assert table["text"].tolist()[0] == "it’s 0"
    assert (table["audio_path"] == "").all()
    assert found.manifest.skipped == ()
    for kind, width in WIDTHS.items():
        expected = [row for key in TURNS for row in fields(TURNS)[kind][key]]
        assert found.features[kind].shape == (7, width)
        assert found.features[kind].dtype == np.float32
        np.testing.assert_array_equal(found.features[kind], np.stack(expected))
        assert found.present[kind].all()
    assert sum(found.filled.values()) == 0


def test_lists_matrices_and_rows_of_arrays_say_the_same(tmp_path):
    expected = read_features(save(tmp_path / "f.pkl", layout("MMGCN")))
    over = {
        "text": vectors("text", TURNS, 0, as_list=True),
        "audio": {key: np.stack(rows) for key, rows in fields(TURNS)["audio"].items()},
        "visual": {key: tuple(map(tuple, rows)) for key, rows in vectors("visual", TURNS, 2, as_list=True).items()},
        "labels": {key: np.array(codes) for key, codes in fields(TURNS)["labels"].items()},
        "train": np.array(["Ses03M_impro08b", "Ses01F_impro01"]),
        "test": {"Ses05F_impro07"},
    }
    found = read_features(save(tmp_path / "f.pkl", layout("MMGCN", **over)))
    assert found.manifest.digest == expected.manifest.digest
    for kind in WIDTHS:
        np.testing.assert_array_equal(found.features[kind], expected.features[kind])


def test_a_set_of_dialogues_takes_the_order_of_the_file(tmp_path):
    names = [f"Ses01F_impro{number:02}" for number in range(20)]
    turns = dict.fromkeys([*names[10:], *names[:10]], 1)
    content = layout("MMGCN", turns, train=set(names[1:]), test={names[0]})
    table = read_features(save(tmp_path / "f.pkl", content)).manifest.table
    assert table["dialogue"].tolist() == [*names[10:], *names[1:10], names[0]]


@pytest.mark.parametrize("name", ["SDT", "SDT, MELD", "COSMIC", "COSMIC, MELD"])
def test_text_in_four_layers_is_their_mean(tmp_path, name):
    layers = [vectors("text", TURNS, seed) for seed in range(4)]
    values = fields(TURNS)
    parts, layer = [], iter(layers)
    for role in LAYOUTS[name].split():
        parts.append(next(layer) if role == "text" else values[role])
    found = read_features(save(tmp_path / "f.pkl", tuple(parts)))
    assert found.layout == name
    expected = [sum(one[key][n] for one in layers) / 4 for key, number in TURNS.items() for n in range(number)]
    np.testing.assert_allclose(found.features["text"], np.stack(expected), rtol=1e-6)
    assert set(found.features) == ({"text", "audio", "visual"} if name.startswith("SDT") else {"text"})
    ids = found.manifest.table["utterance"].tolist()
    assert ids[0] == ("Ses03M_impro08b_F000" if name.startswith("SDT") else "Ses03M_impro08b/0")


def test_cosmic_has_a_valid_split(tmp_path):
    content = layout("COSMIC", train=["Ses03M_impro08b"], valid=["Ses01F_impro01"])
    manifest = read_features(save(tmp_path / "f.pkl", content)).manifest
    assert manifest.counts()["utterances"] == {"train": 3, "valid": 2, "test": 2}


@pytest.mark.parametrize("name", ["MMGCN, valid", "DialogueRNN, valid", "SDT, valid"])
def test_a_list_at_the_end_is_the_valid_split_and_the_file_not_meld_s(tmp_path, name):
    labels = {key: [0, 1, 4][:number] for key, number in TURNS.items()}
    content = layout(name, train=["Ses03M_impro08b"], valid=["Ses01F_impro01"], labels=labels)
    found = read_features(save(tmp_path / "f.pkl", content))
    assert (found.layout, found.manifest.labels) == (name, ("0", "1", "2", "3", "4"))
    assert found.manifest.counts()["utterances"] == {"train": 3, "valid": 2, "test": 2}


def test_a_list_at_the_end_that_names_no_dialogues_is_passed_over(tmp_path):
    for other in (["neutral", "joy"], [0.1, 0.2]):
        found = read_features(save(tmp_path / "f.pkl", layout("MMGCN, valid", valid=other)))
        assert found.layout == "MMGCN" and "valid" not in found.manifest.counts()["dialogues"]


def test_emotions_with_other_sentiments_are_not_meld_s(tmp_path):
    """EmoryNLP's file of COSMIC: seven emotions (joyful, mad, peaceful, neutral, sad, powerful, scared), sentiments."""
    labels = {"call": [0, 1, 2, 3, 4, 5, 6]}
    over = {"train": ["call"], "test": [], "valid": [], "labels": labels}
    emory = layout("COSMIC, MELD", {"call": 7}, **over, other={"call": [1, 2, 1, 0, 2, 1, 2]})
    found = read_features(save(tmp_path / "f.pkl", emory))
    assert (found.layout, found.manifest.labels) == ("COSMIC", tuple("0123456"))
    for other in ({"call": [None] * 7}, {"call": [0] * 7}, {}):
        found = read_features(save(tmp_path / "f.pkl", layout("COSMIC, MELD", {"call": 7}, **over, other=other)))
        assert found.manifest.labels == tuple("0123456")
    meld = layout("COSMIC, MELD", {"call": 7}, **over, other={"call": [*SENTIMENTS]})
    assert read_features(save(tmp_path / "f.pkl", meld)).manifest.labels == MELD


def whole_meld() -> dict:
    """Every dialogue of MELD under its number in the field's files, a turn or two in each."""
    turns = {number: 1 + number % 2 for number in range(MELD_END) if number != 60}
    one_hot = {key: [[0.0] * 8 + [1.0], [0.0, 1.0] + [0.0] * 7][:number] for key, number in turns.items()}
    return {
        **fields(turns),
        "ids": {key: [3, 5][:number] for key, number in turns.items()},
        "speakers": one_hot,
        "labels": {key: [6, 0][:number] for key, number in turns.items()},
        "train": [key for key in turns if key < 1153],
        "test": [key for key in turns if key >= 1153],
    }


@pytest.mark.parametrize("name", ["MMGCN, MELD", "DialogueRNN, MELD", "SDT, MELD"])
def test_meld_under_its_usual_numbers_gets_the_corpus_s_own_ids_and_splits(tmp_path, name):
    values = whole_meld()
    content = tuple(values[role] for role in LAYOUTS[name].split())
    found = read_features(save(tmp_path / "MELD_features_raw1.pkl", content))
    assert found.manifest.counts()["dialogues"] == {"train": 1038, "valid": 114, "test": 280}
    assert found.manifest.labels == MELD
    rows = found.manifest.table.set_index("utterance")
    assert rows.loc["train/dia0_utt3", "label"] == "anger"
    assert rows.loc["train/dia1_utt5", ["label", "turn", "speaker"]].tolist() == ["neutral", 1, "1"]
    assert rows.loc["train/dia1038_utt3", "split"] == "train"
    assert rows.loc["valid/dia0_utt3", ["split", "speaker"]].tolist() == ["valid", "8"]
    assert rows.loc["test/dia279_utt3", "dialogue"] == "test/dia279"
    assert ("visual" in found.features) == (not name.startswith("DialogueRNN"))
    row = found.manifest.table["utterance"].tolist().index("test/dia279_utt3")
    np.testing.assert_array_equal(found.features["audio"][row], values["audio"][1432][0])


def test_a_part_of_meld_keeps_the_file_s_numbers_and_splits(tmp_path):
    turns = {4: 2, 1039: 1, 1153: 1}
    values = {**fields(turns), "train": [4, 1039], "test": [1153], "ids": {4: [0, 2], 1039: [0], 1153: [0]}}
    content = tuple(values[role] for role in LAYOUTS["MMGCN, MELD"].split())
    manifest = read_features(save(tmp_path / "f.pkl", content)).manifest
    assert manifest.table["utterance"].tolist() == ["4/0", "4/1", "1039/0", "1153/0"]
    assert manifest.counts()["dialogues"] == {"train": 2, "test": 1}


def test_a_missing_vector_is_an_absent_modality_and_a_missing_number_the_training_mean(tmp_path):
    audio = fields(TURNS)["audio"]
    audio["Ses03M_impro08b"] = [None, np.full(4, np.nan, np.float32), np.array([1, np.nan, 3, np.inf], np.float32)]
    audio["Ses01F_impro01"] = [np.array([0, 2, 0, 5], np.float32), np.array([0, 4, 0, 7], np.float32)]
    audio["Ses05F_impro07"] = [np.array([np.nan, 100, 0, 100], np.float32), np.array([9, np.nan, 9, 9], np.float32)]
    found = read_features(save(tmp_path / "f.pkl", layout("MMGCN", audio=audio)))
    assert found.present["audio"].tolist() == [False, False, True, True, True, True, True]
    assert found.features["audio"][:3].tolist() == [[0] * 4, [0] * 4, [1, 3, 3, 6]]
    np.testing.assert_allclose(found.features["audio"][5:], [[1 / 3, 100, 0, 100], [9, 3, 9, 9]], rtol=1e-6)
    assert found.filled["audio"] == 4
    assert found.filled["text"] == 0


def test_labels_and_name_can_be_given(tmp_path):
    path = save(tmp_path / "f.pkl", layout("MMGCN"))
    found = read_features(path, labels=("a", "b", "c", "d", "e", "f", "g"), name="mine")
    assert (found.manifest.corpus, found.manifest.labels[2]) == ("mine", "c")
    assert found.manifest.table["label"].tolist()[0] == "c"
    with pytest.raises(CorpusError, match=r"expected label codes below 2 \(a, b\), found 5"):
        read_features(path, labels=("a", "b"))


def test_unknown_dialogues_and_many_classes_keep_their_codes(tmp_path):
    turns = {"call": 2}
    content = layout("MMGCN", turns, train=["call"], test=[], labels={"call": [0, 7]})
    assert read_features(save(tmp_path / "f.pkl", content)).manifest.labels == tuple("01234567")
    content = layout("MMGCN", turns, train=["call"], test=[], labels={"call": [-1, 1]})
    assert read_features(save(tmp_path / "f.pkl", content)).manifest.table["label"].tolist() == ["-1", "1"]
    content = layout("MMGCN", turns, train=["call"], test=[], labels={"call": [None, float("nan")]})
    assert read_features(save(tmp_path / "f.pkl", content)).manifest.table["label"].tolist() == ["", ""]


def test_graphsmile_s_meld_has_fourteen_fields(tmp_path):
    found = read_features(graphsmile_meld(tmp_path / "meld_multi_features.pkl"))
    table = found.manifest.table
    assert (found.layout, found.manifest.labels) == ("GraphSmile, MELD", MELD)
    assert table["utterance"].tolist() == ["4/0", "4/1", "1039/0", "1153/0"]
    assert table["label"].tolist() == ["anger", "neutral", "anger", "anger"], "emotions, not sentiments"
    assert table["speaker"].tolist() == ["0", "8", "0", "0"]
    assert found.features["text"].tolist() == [[6.0] * 4, [6.0] * 4, [1041.0] * 4, [1155.0] * 4]
    assert found.features["audio"].tolist() == [[4.5] * 3, [4.5] * 3, [1039.5] * 3, [1153.5] * 3]
    assert found.features["visual"][2].tolist() == [1039.25] * 2


def test_graphsmile_s_meld_as_a_whole_gets_the_corpus_s_own_ids(tmp_path):
    values = whole_meld()
    content = tuple(values[role] for role in LAYOUTS["GraphSmile, MELD"].split())
    manifest = read_features(save(tmp_path / "f.pkl", content)).manifest
    assert manifest.counts()["dialogues"] == {"train": 1038, "valid": 114, "test": 280}
    assert manifest.table["utterance"].tolist()[0] == "train/dia0_utt3"


def test_graphsmile_s_mosei_has_numbers_as_labels(tmp_path):
    path = graphsmile_mosei(tmp_path / "mosei.pkl")
    manifest = read_features(path, regression=True).manifest
    assert manifest.table["value"].tolist() == [-2.3333333, 0.0, 3.0, 0.6666667]
    with pytest.raises(CorpusError, match=r'found real numbers .*; write corpus.task = "regression"'):
        read_features(path)


def test_four_codes_of_iemocap_are_the_four_way_task(tmp_path):
    turns = {"Ses01F_impro01": 4}
    content = layout("MMGCN", turns, train=[*turns], test=[], labels={"Ses01F_impro01": [3, 2, 1, 0]})
    manifest = read_features(save(tmp_path / "IEMOCAP_features_4.pkl", content)).manifest
    assert manifest.labels == ("hap", "sad", "neu", "ang")
    assert manifest.table["label"].tolist() == ["ang", "neu", "sad", "hap"]


@pytest.mark.parametrize("codes", [[0, 2, 1, 0], [4, 3, 2, 1], [5, 2, 3, 0]])
def test_codes_of_iemocap_s_dialogues_have_no_names_unless_all_of_a_task_occur(tmp_path, codes):
    """Three codes may be sentiments, five the five-way task: its names are not those of the six-way one."""
    turns = {"Ses01F_impro01": 4}
    content = layout("MMGCN", turns, train=[*turns], test=[], labels={"Ses01F_impro01": codes})
    path = save(tmp_path / "f.pkl", content)
    manifest = read_features(path).manifest
    assert manifest.labels == tuple(map(str, range(max(codes) + 1)))
    assert manifest.table["label"].tolist() == [*map(str, codes)]
    named = read_features(path, IEMOCAP).manifest
    assert named.labels == IEMOCAP, "as a run says that was trained on all of them"
    assert named.table["label"].tolist() == [IEMOCAP[code] for code in codes]


def without(mapping: dict, key) -> dict:
    return {name: value for name, value in mapping.items() if name != key}


def with_entries(role: str, entries: list) -> dict:
    """One dialogue's entries replaced."""
    return {role: {**WHOLE[role], "Ses01F_impro01": entries}}


WHOLE = fields(TURNS)


BAD = {
    "in two splits": ({"test": ["Ses01F_impro01"]}, "dialogue Ses01F_impro01: expected in one split, found in train"),
    "unknown dialogue": ({"test": ["Ses09"]}, "dialogue Ses09: expected labels for every test dialogue, found none"),
    "field without it": ({"audio": without(WHOLE["audio"], "Ses01F_impro01")}, "expected a list of its audio"),
    "shorter": (with_entries("audio", []), "expected as many entries in every field, found"),
    "widths": (with_entries("audio", [[1.0], [2.0]]), "audio features of one width, found"),
    "words": (with_entries("audio", ["ab", "cd"]), "expected audio entries that are lists of numbers"),
    "deep": (with_entries("audio", [[[1.0]], [[2.0]]]), "expected audio entries that are lists of numbers"),
    "label": (with_entries("labels", [0.5, 1]), "expected classes, found real numbers (0.5; rows: 1)"),
    "huge label": (with_entries("labels", [10**9, 1]), "expected labels as whole numbers from 0 on, found 1000000000"),
    "word as label": (with_entries("labels", ["sad", 1]), "expected labels as whole numbers from 0 on, found str"),
    "no dialogues": ({"train": [], "test": []}, "expected utterances in train, valid or test, found none"),
}  # fmt: skip


@pytest.mark.parametrize(("over", "message"), BAD.values(), ids=BAD)
def test_parts_that_do_not_fit_are_named(tmp_path, over, message):
    path = save(tmp_path / "f.pkl", layout("MMGCN", **over))
    with pytest.raises(CorpusError) as error:
        read_features(path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


UNKNOWN = {
    "a dict": ({"train": [1]}, "found a dict"),
    "nothing": (None, "found a NoneType"),
    "an array": (np.zeros(3), "found a"),
    "empty tuple": ((), "found a tuple"),
    "other order": (tuple(reversed(layout("MMGCN"))), "found 9 fields (dialogues, dialogues, texts, vectors"),
    "too many": ((*layout("MMGCN"), 1, 2), "found 11 fields (texts, texts, numbers, vectors"),
    "empty mappings": (({},) * 9, "found 9 fields (an empty mapping"),
}


@pytest.mark.parametrize(("content", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_other_layouts_are_refused_with_what_was_found(tmp_path, content, message):
    with pytest.raises(CorpusError) as error:
        read_features(save(tmp_path / "f.pkl", content))
    assert "expected features in the layout of MMGCN, DialogueRNN, SDT, GraphSmile, COSMIC, MMSA" in str(error.value)
    assert message in str(error.value)


class Touch:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_feature_pickle_with_a_payload_is_refused_before_it_runs(tmp_path):
    content = layout("MMGCN", sentences={**WHOLE["sentences"], "x": Touch(tmp_path / "mark")})
    path = save(tmp_path / "f.pkl", content)
    with pytest.raises(UnsafePickleError, match="refused "):
        read_features(path)
    with pytest.raises(UnsafePickleError, match="refused "):
        scan(FeatureSettings(kind="features", path=path), FileDigests())
    assert not (tmp_path / "mark").exists()


def test_a_small_file_that_unfolds_without_end_is_refused_quickly(tmp_path):
    """Ten levels of ten: a million million numbers, were the nesting followed."""
    level = [1.0] * 10
    for _ in range(11):
        level = [level] * 10
    content = layout("MMGCN", text={key: [level] * number for key, number in TURNS.items()})
    with pytest.raises(CorpusError, match="expected text entries that are lists of numbers"):
        read_features(save(tmp_path / "f.pkl", content))


def test_tables_pickles_and_parquet_mean_the_same_by_a_label(tmp_path):
    labels = [*[1] * 20, *[0] * 21, *[-1] * 19]
    turns = {f"call{row}": 1 for row in range(60)}
    over = {"labels": {key: [label] for key, label in zip(turns, labels, strict=True)}, "train": [*turns], "test": []}
    pickled = read_features(save(tmp_path / "f.pkl", layout("MMGCN", turns, **over))).manifest
    names = [*turns]
    columns = {"dialogue": names, "utterance": names, "speaker": names, "label": labels, "text": [[1.0]] * 60}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    stored = read_features(tmp_path / "f.parquet").manifest
    rows = "".join(f"d{row},0,d{row},x,{label},\n" for row, label in enumerate(labels))
    (tmp_path / "f.csv").write_text(f"dialogue,turn,speaker,text,label,media\n{rows}", encoding="utf-8")
    table = scan(TableSettings(kind="table", path=tmp_path / "f.csv"), FileDigests())
    assert pickled.table["label"].tolist() == stored.table["label"].tolist() == table.table["label"].tolist()
    assert pickled.labels == stored.labels == table.labels
    assert pickled.notes == stored.notes == table.notes


def test_minus_one_in_a_benchmark_s_file_is_none_however_frequent(tmp_path):
    turns = {"Ses01F_impro01": 9}
    over = {"train": [*turns], "test": [], "labels": {"Ses01F_impro01": [-1, -1, -1, 0, 1, 2, 3, 4, 5]}}
    manifest = read_features(save(tmp_path / "f.pkl", layout("MMGCN", turns, **over))).manifest
    assert manifest.labels == IEMOCAP
    assert manifest.notes == ("3 of 9 rows have no label (-1 3)",)


def test_mojibake_is_repaired_in_meld_s_pickles_and_only_there(tmp_path):
    over = {"sentences": {key: ["AMANHÃ…", "itâ€™s", "it\x92s"][:number] for key, number in TURNS.items()}}
    plain = read_features(save(tmp_path / "f.pkl", layout("MMGCN", **over))).manifest
    meld = read_features(save(tmp_path / "f.pkl", layout("MMGCN, MELD", **over))).manifest
    assert plain.table["text"].tolist()[:3] == ["AMANHÃ…", "itâ€™s", "it’s"]
    assert meld.table["text"].tolist()[:3] == ["AMANHÅ", "it’s", "it’s"]
