"""EmoryNLP, DailyDialog, M3ED, MOSEI and CH-SIMS on small trees of their layouts; labels renamed and merged."""

import json
import shutil
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bigfusion.pipeline.corpora.scan import CorpusSettings, check_layout, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from tests.helpers.iemocap_tree import Turn, write_dialogue
from tests.helpers.spoken_tree import empty_files

MELD = Path(__file__).parents[4] / "shared/data/meld"


def settings(kind, root, **more):
    return TypeAdapter(CorpusSettings).validate_python({"kind": kind, "root": root, **more})


def ingest(kind, root, **more):
    return scan(settings(kind, root, **more), FileDigests())


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def emorynlp(root):
    for part, season in (("trn", "s01_e01"), ("dev", "s02_e03"), ("tst", "s03_e07")):
        said = [("u001", ["Monica Geller"], "There's nothing to tell!", "Powerful"),
                ("u002", ["Joey Tribbiani", "Chandler Bing"], "C'mon!", "Joyful"),
                ("u003", [], "", "Neutral")]  # fmt: skip
        scene = {"scene_id": f"{season}_c01", "utterances": [
            {"utterance_id": f"{season}_c01_{name}", "speakers": speakers, "transcript": text, "tokens": [],
             "emotion": emotion} for name, speakers, text, emotion in said]}  # fmt: skip
        episodes = [{"episode_id": season, "scenes": [scene]}]
        write_json(root / "json" / f"emotion-detection-{part}.json", {"season_id": "s01", "episodes": episodes})
    return root


def test_emorynlp_s_scenes_are_dialogues(tmp_path):
    manifest = ingest("emorynlp", emorynlp(tmp_path))
    assert manifest.counts()["utterances"] == {"train": 3, "valid": 3, "test": 3}
    rows = manifest.table
    assert rows["utterance"][0] == "train/s01_e01_c01_u001"
    assert rows["dialogue"].tolist()[::3] == ["train/s01_e01_c01", "valid/s02_e03_c01", "test/s03_e07_c01"]
    assert rows["speaker"].tolist()[:3] == ["Monica Geller", "Joey Tribbiani & Chandler Bing", ""]
    assert rows["label"].tolist()[:3] == ["powerful", "joyful", "neutral"]
    assert manifest.labels == ("joyful", "mad", "neutral", "peaceful", "powerful", "sad", "scared")
    assert {(item.item, item.status) for item in manifest.skipped} == {
        (f"{name}_c01_u003", "missing_transcript") for name in ("train/s01_e01", "valid/s02_e03", "test/s03_e07")
    }


def test_emorynlp_of_another_shape_is_refused(tmp_path):
    emorynlp(tmp_path)
    (tmp_path / "json/emotion-detection-dev.json").unlink()
    with pytest.raises(CorpusError, match=r"no emotion-detection-dev\.json"):
        check_layout(settings("emorynlp", tmp_path))
    write_json(tmp_path / "json/emotion-detection-dev.json", {"scenes": []})
    with pytest.raises(CorpusError, match="expected a list 'episodes' of objects, found None"):
        ingest("emorynlp", tmp_path)


def dailydialog(root):
    for part in ("train", "validation", "test"):
        (root / part).mkdir(parents=True)
        (root / part / f"dialogues_{part}.txt").write_text(
            "Say , Jim , how about a beer ? __eou__ You know that is tempting . __eou__\n"
            "Good morning . __eou__ Hello . __eou__ Bye . __eou__\n", encoding="utf-8"
        )  # fmt: skip
        (root / part / f"dialogues_emotion_{part}.txt").write_text("0 4 \n0 6 \n")
    return root


def test_dailydialog_s_two_files_are_read_side_by_side(tmp_path):
    manifest = ingest("dailydialog", dailydialog(tmp_path))
    rows = manifest.table
    assert rows["utterance"].tolist() == [
        f"{split}/0/{turn}" for split in ("train", "valid", "test") for turn in (0, 1)
    ]
    assert rows["label"].tolist()[:2] == ["neutral", "happiness"]
    assert rows["speaker"].tolist()[:2] == ["A", "B"]
    assert rows["text"][1] == "You know that is tempting ."
    assert next((item.item, item.reason) for item in manifest.skipped if item.status == "broken_row") == (
        "dialogues_train.txt:2", "expected 3 codes from 0 to 6, found '0 6'",
    )  # fmt: skip


def test_dailydialog_with_lines_missing_is_refused(tmp_path):
    dailydialog(tmp_path)
    (tmp_path / "test/dialogues_emotion_test.txt").write_text("0 4 \n")
    with pytest.raises(CorpusError, match=r"expected 2 lines as in dialogues_test\.txt, found 1"):
        ingest("dailydialog", tmp_path)


def m3ed(root):
    def said(speaker, emotion):
        annotation = {"EmoAnnotator1": emotion, "final_mul_emo": emotion, "final_main_emo": emotion}
        times = {"StartTime": "00:00:01:000", "EndTime": "00:00:02:000"}
        return {**times, "Text": "你好", "Speaker": speaker, "EmoAnnotation": annotation}

    def series(name):
        dialog = {f"{name}_1_1": said("A", "Neutral"), f"{name}_1_2": said("B", "Anger")}
        return {f"{name}_1": {"SpeakerInfo": {"A": {"Name": "甲"}, "B": {"Name": "乙"}}, "Dialog": dialog}}

    write_json(root / "annotation.json", {name: series(name) for name in ("tingyong", "anjia", "qingchun", "extra")})
    for name, content in (("train", "anjia\nqingchun\n"), ("val", "tingyong\n"), ("test", "")):
        (root / "splitInfo").mkdir(exist_ok=True)
        (root / "splitInfo" / f"movie_list_{name}.txt").write_text(content)
    return empty_files(root, "modality_speech/A_anjia_1_1.wav", "clips/A_anjia_1_1.mp4")


def test_m3ed_s_series_are_dealt_whole_and_clips_found_by_speaker_and_utterance(tmp_path):
    manifest = ingest("m3ed", m3ed(tmp_path))
    rows = manifest.table.set_index("utterance")
    assert manifest.counts()["dialogues"] == {"train": 2, "valid": 1}
    first = rows.loc["anjia/anjia_1/anjia_1_1"]
    assert (first["split"], first["label"], first["text"]) == ("train", "neutral", "你好")
    assert first["audio_path"] == "modality_speech/A_anjia_1_1.wav"
    assert first["visual_path"] == "clips/A_anjia_1_1.mp4"
    assert rows.loc["tingyong/tingyong_1/tingyong_1_2"]["audio_path"] == "modality_speech/B_tingyong_1_2.wav"
    statuses = {item.item: item.status for item in manifest.skipped}
    assert statuses["extra"] == "no_split"
    assert statuses["tingyong/tingyong_1/tingyong_1_2"] == "missing_media"


LABEL_CSV = """video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode
v1,2,so good,1.6666666,,,,Positive,train
v1,10,hm,0.0,,,,Neutral,train
v1,1,bad,-2.0,,,,Negative,valid
v2,0001,fine,0.4,0.2,0.4,0.6,Positive,test
v2,0001,again,0.4,,,,Positive,test
v3,1,?,x,,,,,test
v3,2,?,1.0,,,,Positive,dev2
"""


def test_clips_of_label_csv_are_dialogues_of_one(tmp_path):
    (tmp_path / "label.csv").write_text(LABEL_CSV)
    empty_files(tmp_path, "Raw/v2/0001.mp4")
    manifest = ingest("mosei", tmp_path)
    rows = manifest.table.set_index("utterance")
    assert rows.index.tolist() == ["v1/2", "v1/10", "v1/1", "v2/0001"]
    assert rows["dialogue"].tolist() == rows.index.tolist()
    assert rows["label"].tolist() == ["positive", "neutral", "negative", "positive"]
    assert rows["split"].tolist() == ["train", "train", "valid", "test"]
    assert rows["audio_path"]["v2/0001"] == "Raw/v2/0001.mp4"
    assert rows["audio_sha256"]["v2/0001"]
    assert sorted(item.status for item in manifest.left_out) == ["broken_row", "duplicate", "unknown_label"]


def test_clips_of_a_video_are_one_dialogue_a_split_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "label.csv").write_text(LABEL_CSV)
    rows = ingest("ch_sims", tmp_path, context="video").table
    assert rows[["dialogue", "turn", "utterance"]].values.tolist() == [
        ["v1/train", 0, "v1/2"], ["v1/train", 1, "v1/10"], ["v1/valid", 0, "v1/1"], ["v2", 0, "v2/0001"],
    ]  # fmt: skip


def test_without_annotations_the_sign_is_the_class(tmp_path):
    (tmp_path / "label.csv").write_text(
        "video_id,clip_id,text,label,mode\na,1,x,-0.2,train\na,2,x,0,train\na,3,x,1,test\n"
    )
    assert ingest("ch_sims", tmp_path).table["label"].tolist() == ["negative", "neutral", "positive"]
    (tmp_path / "label.csv").write_text("video_id,clip_id,text,mode\na,1,x,train\n")
    with pytest.raises(CorpusError, match="expected a column 'label', found video_id"):
        ingest("ch_sims", tmp_path)


@pytest.mark.skipif(not MELD.is_dir(), reason="needs MELD's annotations beside the repository")
def test_meld_s_sentiments_are_those_of_its_tables(tmp_path):
    for part in ("train", "dev", "test"):
        shutil.copy(MELD / f"{part}_sent_emo.csv", tmp_path)
    manifest = ingest("meld", tmp_path, labels="sentiment")
    assert manifest.labels == ("neutral", "positive", "negative")
    assert manifest.counts()["labels"]["test"] == {"neutral": 1256, "positive": 521, "negative": 833}
    assert manifest.counts()["utterances"] == {"train": 9989, "valid": 1109, "test": 2610}


def test_labels_are_renamed_merged_and_dropped(tmp_path):
    turns = [Turn(f"F00{place}", label, place, place + 0.5)
             for place, label in enumerate(("exc", "hap", "fru", "neu"))]  # fmt: skip
    write_dialogue(tmp_path, "Ses01F_impro02", turns)
    manifest = ingest("iemocap", tmp_path, label_map={"hap": "joy", "exc": "joy", "fru": ""})
    assert manifest.labels == ("joy", "sad", "neu", "ang")
    assert manifest.table["label"].tolist() == ["joy", "joy", "", "neu"]
    with pytest.raises(CorpusError, match=r"expected labels of iemocap \(hap, .*found 'happy'"):
        ingest("iemocap", tmp_path, label_map={"happy": "joy"})


def test_the_numbers_of_label_csv_are_what_a_regression_predicts(tmp_path):
    (tmp_path / "label.csv").write_text(LABEL_CSV)
    manifest = ingest("mosei", tmp_path, task="regression")
    assert manifest.labels == ()
    assert manifest.has_values
    assert manifest.table["value"].tolist() == [1.6666666, 0.0, -2.0, 0.4]
    assert set(manifest.table["label"]) == {""}
    rows = ingest("ch_sims", tmp_path, task="regression", target="label_T").table
    assert rows["value"].tolist() == [0.2]
    assert not ingest("mosei", tmp_path).has_values


def test_the_classes_of_one_modality_are_the_signs_of_its_column(tmp_path):
    table = "video_id,clip_id,text,label,label_T,annotation,mode\n"
    rows = ["a,1,x,-0.2,0.4,Negative,train", "a,2,x,1.0,0.0,Positive,train", "a,3,x,1.0,,Positive,test"]
    (tmp_path / "label.csv").write_text(table + "\n".join(rows) + "\n")
    manifest = ingest("ch_sims", tmp_path, target="label_T")
    assert manifest.table["label"].tolist() == ["positive", "neutral"]
    assert [(item.status, item.reason) for item in manifest.left_out] == [
        ("unknown_label", "expected a number, found ''")
    ]
    with pytest.raises(CorpusError, match=r"expected a column 'label_A', .*; leave corpus.target out"):
        ingest("ch_sims", tmp_path, target="label_A")
