from collections import Counter

import pytest

from bigfusion.pipeline.corpora.folds import divide
from bigfusion.pipeline.corpora.scan import IemocapSettings, TableSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from tests.helpers.iemocap_tree import Turn, write_dialogue, write_iemocap

DIALOGUES = [f"d{number}" for number in range(12)]
SPEAKERS = [f"s{number % 4}" for number in range(12)]


def test_leaving_one_out_names_each_fold_after_its_value():
    assert divide("c", DIALOGUES, {"speaker": SPEAKERS}, "", "speaker") == {"split": ["train"] * 12, "fold": SPEAKERS}


def test_dialogues_that_share_a_speaker_lie_in_one_fold():
    found = divide("c", ["a", "a", "b", "b", "c"], {"speaker": ["x", "y", "y", "z", "w"]}, "", "speaker")
    assert found["fold"] == ["x", "x", "x", "x", "w"]


def test_a_number_of_folds_deals_dialogues_evenly_and_whatever_their_order():
    fold = dict(zip(DIALOGUES, divide("c", DIALOGUES, {}, "", 5)["fold"], strict=True))
    assert sorted(Counter(fold.values()).values()) == [2, 2, 2, 3, 3]
    assert set(fold.values()) == {"1", "2", "3", "4", "5"}
    turned = DIALOGUES[::-1]
    assert dict(zip(turned, divide("c", turned, {}, "", 5)["fold"], strict=True)) == fold


def test_a_number_of_folds_by_speaker_keeps_each_in_one():
    found = divide("c", DIALOGUES, {"speaker": SPEAKERS}, "speaker", 2)["fold"]
    assert len({*zip(SPEAKERS, found, strict=True)}) == 4
    assert Counter(found) == {"1": 6, "2": 6}


def test_without_folds_the_split_is_dealt():
    found = divide("c", DIALOGUES, {"speaker": SPEAKERS}, "speaker", "")
    assert set(found["split"]) == {"train", "valid", "test"}
    assert found["fold"] == [""] * 12


def test_refusals():
    with pytest.raises(CorpusError, match=r'expected corpus.split_by or corpus.folds = "speaker", found both'):
        divide("c", DIALOGUES, {"speaker": SPEAKERS}, "speaker", "speaker")
    with pytest.raises(CorpusError, match=r"expected 2 groups or more to deal by 'speaker' \(corpus.folds\), found 1"):
        divide("c", ["a", "b"], {"speaker": ["x", "x"]}, "", "speaker")
    with pytest.raises(CorpusError, match=r"expected 5 groups or more to deal by 'speaker' .*found 4 in 12"):
        divide("c", DIALOGUES, {"speaker": SPEAKERS}, "speaker", 5)
    with pytest.raises(CorpusError, match=r"expected 3 dialogues or more for corpus\.folds = 3, found 2"):
        divide("c", ["a", "b"], {}, "", 3)
    with pytest.raises(CorpusError, match="expected a speaker in every row"):
        divide("c", ["a", "b"], {"speaker": ["x", ""]}, "", "speaker")


def table(tmp_path, **settings):
    path = tmp_path / "t.csv"
    rows = [
        f"d{number},0,s{number % 3},hi,{'ja'[number % 2]},,{'north' if number < 3 else 'south'}" for number in range(6)
    ]
    path.write_text("\n".join(["dialogue,turn,speaker,text,label,media,site", *rows]) + "\n")
    return scan(TableSettings(kind="table", path=path, **settings), FileDigests()).table


def test_a_table_s_folds_are_by_speaker_by_any_column_or_a_number(tmp_path):
    assert table(tmp_path, folds="speaker")["fold"].tolist() == ["s0", "s1", "s2"] * 2
    assert table(tmp_path, folds="site")["fold"].tolist() == ["north"] * 3 + ["south"] * 3
    assert sorted(table(tmp_path, folds=2)["fold"]) == ["1"] * 3 + ["2"] * 3
    assert table(tmp_path)["fold"].tolist() == [""] * 6
    with pytest.raises(CorpusError, match=r"expected a column 'town' \(corpus.folds\), found dialogue"):
        table(tmp_path, folds="town")


def test_iemocap_leaves_one_session_out(tmp_path):
    settings = IemocapSettings(kind="iemocap", root=write_iemocap(tmp_path), folds="session")
    found = scan(settings, FileDigests()).table
    assert set(found["split"]) == {"train"}
    assert {*zip(found["dialogue"].str[:5], found["fold"], strict=True)} == {
        (f"Ses0{number}", f"Session{number}") for number in range(1, 6)
    }


def test_the_four_class_task_merges_excited_into_happy_and_leaves_frustration_out(tmp_path):
    turns = [Turn(f"F00{place}", label, place, place + 0.5)
             for place, label in enumerate(("hap", "exc", "sad", "neu", "ang", "fru", "xxx", "sur"))]  # fmt: skip
    write_dialogue(tmp_path, "Ses01F_impro02", turns)
    manifest = scan(IemocapSettings(kind="iemocap", root=tmp_path, labels="four"), FileDigests())
    assert manifest.labels == ("hap", "sad", "neu", "ang")
    assert manifest.table["label"].tolist() == ["hap", "hap", "sad", "neu", "ang"]
    assert manifest.table["turn"].tolist() == [0, 1, 2, 3, 4]
    reasons = {item.item[-4:]: item.reason for item in manifest.skipped if item.status == "unscored"}
    assert reasons == {f"F00{place}": f"label {label} is not one of the four"
                       for place, label in ((5, "fru"), (6, "xxx"), (7, "sur"))}  # fmt: skip
