from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bigfusion.pipeline.corpora.scan import CorpusSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.media.endings import SOUND, VIDEO
from tests.helpers.spoken_tree import empty_files, write_crema_d, write_emodb, write_ravdess

EMODB = Path(__file__).parents[4] / "shared/data/emodb"


def ingest(kind, root, **settings):
    return scan(TypeAdapter(CorpusSettings).validate_python({"kind": kind, "root": root, **settings}), FileDigests())


def row(manifest, utterance):
    return manifest.table.set_index("utterance").loc[utterance]


def test_an_emodb_name_is_speaker_text_emotion_and_version(tmp_path):
    manifest = ingest("emodb", write_emodb(tmp_path, media=False))
    assert manifest.labels == ("anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral")
    angry = row(manifest, "03a01Wa")
    assert (angry["speaker"], angry["label"], angry["dialogue"], angry["turn"]) == ("03", "anger", "03a01Wa", 0)
    assert angry["text"] == "Der Lappen liegt auf dem Eisschrank."
    assert (angry["audio_path"], angry["visual_path"]) == ("wav/03a01Wa.wav", "")
    assert row(manifest, "14b09Ta")["label"] == "sadness"
    assert len(manifest) == 12
    assert manifest.skipped == ()


@pytest.mark.skipif(not EMODB.is_dir(), reason="needs EmoDB beside the repository")
def test_the_real_files_of_emodb_are_all_read():
    manifest = ingest("emodb", EMODB, folds="speaker")
    assert manifest.counts()["labels"]["train"] == {
        "anger": 60, "boredom": 35, "disgust": 12, "fear": 29, "happiness": 34, "sadness": 30, "neutral": 43,
    }  # fmt: skip
    assert manifest.table["fold"].value_counts().to_dict() == {"03": 49, "08": 58, "09": 43, "10": 38, "11": 55}
    assert [item.status for item in manifest.skipped] == []


def test_the_three_files_of_a_ravdess_utterance_are_one_row(tmp_path):
    manifest = ingest("ravdess", write_ravdess(tmp_path))
    assert manifest.table["utterance"].tolist() == ["01-03-01-01-01-01", "01-05-02-02-01-02", "01-06-01-02-02-02"]
    happy = row(manifest, "01-03-01-01-01-01")
    assert (happy["speaker"], happy["label"], happy["text"]) == ("01", "happy", "Kids are talking by the door.")
    assert happy["audio_path"] == "Audio_Speech/Actor_01/03-01-03-01-01-01-01.wav"
    assert happy["visual_path"] == "Video_Speech/Actor_01/01-01-03-01-01-01-01.mp4"
    assert row(manifest, "01-06-01-02-02-02")["audio_path"] == "", "a video of modality 02 has no sound"
    assert row(manifest, "01-06-01-02-02-02")["visual_path"].endswith("02-01-06-01-02-02-02.mp4")
    assert row(manifest, "01-05-02-02-01-02")["visual_path"] == ""
    assert manifest.skipped == ()


def test_ravdess_songs_are_a_channel_of_their_own(tmp_path):
    write_ravdess(tmp_path)
    assert ingest("ravdess", tmp_path, channel="song").table["utterance"].tolist() == ["02-04-01-01-01-02"]
    assert len(ingest("ravdess", tmp_path, channel="both")) == 4


def test_a_video_with_sound_is_both_where_no_wav_lies_beside_it(tmp_path):
    empty_files(tmp_path, "Actor_01/01-01-03-01-01-01-01.mp4", "Actor_01/02-01-03-01-01-01-01.mp4")
    happy = row(ingest("ravdess", tmp_path), "01-03-01-01-01-01")
    assert happy["audio_path"] == happy["visual_path"] == "Actor_01/01-01-03-01-01-01-01.mp4"


def test_crema_d_s_folders_hold_the_same_clips(tmp_path):
    manifest = ingest("crema_d", write_crema_d(tmp_path))
    assert manifest.table["utterance"].tolist() == [
        "1001_DFA_ANG_XX", "1001_IEO_HAP_HI", "1002_WSI_NEU_XX", "1003_ITH_SAD_X",
    ]  # fmt: skip
    angry = row(manifest, "1001_DFA_ANG_XX")
    assert (angry["speaker"], angry["label"], angry["text"]) == ("1001", "anger", "Don't forget a jacket.")
    assert angry["audio_path"] == "AudioWAV/1001_DFA_ANG_XX.wav"
    assert angry["visual_path"] == "VideoFlash/1001_DFA_ANG_XX.flv"
    assert row(manifest, "1002_WSI_NEU_XX")["audio_path"] == "VideoFlash/1002_WSI_NEU_XX.flv"
    assert {item.item: item.status for item in manifest.skipped} == {
        "AudioWAV/noise.wav": "unknown_name", "AudioMP3/1001_DFA_ANG_XX.mp3": "duplicate",
    }  # fmt: skip


def test_a_pattern_reads_files_of_any_naming(tmp_path):
    empty_files(tmp_path, "s1/hap_kids_1.wav", "s1/hap_kids_1.mp4", "s2/sad_dogs_1.wav", "s2/xxx_dogs_2.wav")
    manifest = ingest(
        "filenames", tmp_path, name="mine",
        pattern=r"(?P<speaker>s\d)/(?P<label>[a-z]+)_(?P<text>[a-z]+)_\d",
        label_map={"hap": "happy", "xxx": ""}, transcripts={"kids": "Kids are talking."},
    )  # fmt: skip
    assert manifest.corpus == "mine"
    assert manifest.labels == ("happy", "sad")
    assert manifest.table["label"].tolist() == ["happy", "sad", ""]
    assert manifest.table["speaker"].tolist() == ["s1", "s2", "s2"]
    assert manifest.table["text"].tolist() == ["Kids are talking.", "", ""]
    assert row(manifest, "s1/hap_kids_1")["audio_path"] == "s1/hap_kids_1.wav"
    assert row(manifest, "s1/hap_kids_1")["visual_path"] == "s1/hap_kids_1.mp4"


@pytest.mark.parametrize("ending", ["mp4", "wav"])
def test_files_of_one_id_that_say_different_things_are_refused(tmp_path, ending):
    empty_files(tmp_path, "s01/001_happy.wav", f"s02/001_sad.{ending}")
    pattern = r"(?P<speaker>s\d+)/(?P<id>\d+)_(?P<label>[a-z]+)"
    with pytest.raises(CorpusError, match=r"one speaker for the id 001, found s01 \(s01/001_happy.wav\) and s02 \(s02"):
        ingest("filenames", tmp_path, pattern=pattern)
    with pytest.raises(
        CorpusError, match=r"one label for the id 001, found happy .* or say which is meant by corpus\.label_map$"
    ):
        ingest("filenames", tmp_path, pattern=pattern.replace("speaker", "room"))
    with pytest.raises(CorpusError, match="expected one room for the id 001, found s01"):
        ingest("filenames", tmp_path, pattern=pattern.replace("speaker", "room"), folds="room")
    assert len(ingest("filenames", tmp_path, pattern=f"(?P<id>{pattern.replace('<id>', '<number>')})")) == 2


def test_files_of_one_id_may_spell_the_same_in_their_own_way(tmp_path):
    empty_files(tmp_path, "a/001.mp4", "b/001_hap.wav", "c/001_happy.flac", "a/x_sad.wav", "b/y_sad.wav")
    manifest = ingest("filenames", tmp_path, pattern=r"(?P<room>[abc])/(?P<id>\d+)?.?(_?(?P<label>[a-z]+))?",
                      label_map={"hap": "happy"})  # fmt: skip
    assert manifest.table["utterance"].tolist() == ["001", "a/x_sad", "b/y_sad"], "without the id the whole path"
    assert row(manifest, "001")["label"] == "happy"
    assert (row(manifest, "001")["audio_path"], row(manifest, "001")["visual_path"]) == ("b/001_hap.wav", "a/001.mp4")


@pytest.mark.parametrize(
    ("labels", "read", "settings"),
    [
        (("Happy", "happy"), "Happy", {}),
        (("Happy", "happy"), "happy", {"label_map": {"Happy": "happy"}}),
        (("hap ", "hap"), "hap", {}),
        (("hap", "happy "), "happy", {"label_map": {" hap": "happy"}}),
        (("01", "1"), "01", {}),
        (("HAP", "Happy"), "happy", {"label_map": {"HAP": "happy"}}),
        (("happy", "none"), "happy", {}),
    ],
)
def test_spellings_of_one_class_do_not_differ(tmp_path, labels, read, settings):
    empty_files(tmp_path, f"a/1_{labels[0]}.wav", f"b/1_{labels[1]}.mp4", "a/2_sad.wav")
    found = ingest("filenames", tmp_path, pattern=r"[ab]/(?P<id>\d)_(?P<label>.+)", **settings)
    assert found.table["label"].tolist() == [read, "sad"]
    assert row(found, "1")["visual_path"]


def test_classes_that_differ_in_capitals_alone_differ(tmp_path):
    empty_files(tmp_path, "1_A.wav", "1_a.mp4", "2_sad.wav")
    with pytest.raises(CorpusError, match=r"expected one label for the id 1, found A \(1_A.wav\) and a \(1_a.mp4\)"):
        ingest("filenames", tmp_path, pattern=r"(?P<id>\d)_(?P<label>.+)", labels=("A", "a", "sad"))


def test_an_unread_file_beside_its_own_recording_is_not_listed(tmp_path):
    empty_files(tmp_path, "a_sad.wav", "a_sad.RAW", "b_joy.WAV", "b_joy.pcm", "c_joy.pcm")
    found = ingest("filenames", tmp_path, pattern=r"(?P<id>.*)_(?P<label>[a-z]+)")
    assert [item.item for item in found.left_out] == ["c_joy.pcm"]


def test_every_container_that_is_read_is_found_and_others_are_listed(tmp_path):
    empty_files(
        tmp_path, *(f"a{name}_sad{name}" for name in (*SOUND, *VIDEO)), "x_sad.WMA", "y_sad.Ape", "notes_sad.txt"
    )
    pattern = r"(?P<id>.*)_(?P<label>[a-z]+)"
    manifest = ingest("filenames", tmp_path, pattern=pattern)
    assert len(manifest) == len(SOUND) + len(VIDEO) + 1
    assert row(manifest, "x")["audio_path"] == "x_sad.WMA"
    assert row(manifest, "a.3gp")["visual_path"] == "a.3gp_sad.3gp"
    assert manifest.table["audio_path"].nunique() == len(manifest)
    (left,) = manifest.left_out
    assert (left.item, left.status) == ("y_sad.Ape", "unread_media")
    assert left.reason == ".Ape is not read here: convert it to wav or mp4"
    again = empty_files(tmp_path / "again", "a_sad.3gp", "a_sad.mp4", "a_sad.aiff", "a_sad.mp3")
    found = row(ingest("filenames", again, pattern=pattern), "a")
    assert (found["audio_path"], found["visual_path"]) == ("a_sad.mp3", "a_sad.mp4"), "usual ones count"
    empty_files(tmp_path / "alone", "a_sad.ape")
    with pytest.raises(CorpusError, match=r"found none; 1 are not read here: convert it .*, for instance a_sad\.ape"):
        ingest("filenames", tmp_path / "alone", pattern=pattern)


def test_refusals_name_what_was_expected(tmp_path):
    empty_files(tmp_path, "a_hap.wav", "b_sad.wav")
    with pytest.raises(CorpusError, match=r"named like 03a01Fa.wav.*found none; 2 have other names, .* a_hap.wav"):
        ingest("emodb", tmp_path)
    with pytest.raises(CorpusError, match="no such folder"):
        ingest("crema_d", tmp_path / "gone")
    with pytest.raises(ValueError, match="expected a group for the label"):
        ingest("filenames", tmp_path, pattern="(?P<speaker>.)_.*")
    with pytest.raises(ValueError, match="expected a regular expression"):
        ingest("filenames", tmp_path, pattern="(?P<label>.")
    pattern = "(?P<speaker>.)_(?P<label>.*)"
    with pytest.raises(CorpusError, match=r"expected one of hap \(corpus.labels\), found the label 'sad'"):
        ingest("filenames", tmp_path, pattern=pattern, labels=["hap"])
    with pytest.raises(CorpusError, match=r"expected corpus.folds to be one of speaker, label, found 'site'"):
        ingest("filenames", tmp_path, pattern=pattern, folds="site")
