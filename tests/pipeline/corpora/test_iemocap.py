import numpy as np
import pytest

from bigfusion.pipeline.corpora.iemocap_happy import BENCHMARK_HAPPY
from bigfusion.pipeline.corpora.scan import IemocapSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Skipped
from tests.helpers.iemocap_tree import Turn, transcription, write_dialogue, write_iemocap


def ingest(root, labels="benchmark"):
    return scan(IemocapSettings(kind="iemocap", root=root, labels=labels), FileDigests())


def found(manifest, status):
    return [item.item for item in manifest.skipped if item.status == status]


def dialogue(root, name, *turns, **kwargs):
    write_dialogue(root, name, turns, **kwargs)
    return ingest(root)


def test_five_sessions_with_their_clutter(tmp_path):
    manifest = ingest(write_iemocap(tmp_path))
    assert manifest.corpus == "iemocap"
    assert manifest.labels == ("hap", "sad", "neu", "ang", "exc", "fru")
    assert manifest.table["dialogue"].drop_duplicates().tolist() == [
        "Ses01F_impro01", "Ses01M_script01_1b", "Ses02F_impro01", "Ses03F_impro01", "Ses04F_impro01", "Ses05F_impro01",
    ]  # fmt: skip
    assert manifest.counts()["utterances"] == {"train": 10, "test": 2}
    assert manifest.counts()["dialogues"] == {"train": 5, "test": 1}
    assert manifest.table["text"].tolist()[:2] == ["Excuse me.", "Do you have your forms?"]
    assert {item.status for item in manifest.skipped} == {"missing_media"}
    assert manifest.skipped[0].reason == (
        "no file Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
        " and no file Session1/dialog/avi/DivX/Ses01F_impro01.avi"
    )


def test_audio_is_the_turn_s_own_file_and_video_a_span_of_the_dialogue_s(tmp_path):
    manifest = ingest(write_iemocap(tmp_path, media=True))
    assert manifest.skipped == ()
    rows = manifest.table.set_index("utterance")
    row = rows.loc["Ses01M_script01_1b_F000"]
    assert row["audio_path"] == "Session1/sentences/wav/Ses01M_script01_1b/Ses01M_script01_1b_F000.wav"
    assert row["visual_path"] == "Session1/dialog/avi/DivX/Ses01M_script01_1b.avi"
    assert np.isnan(row["audio_start"])
    assert np.isnan(row["audio_end"])
    assert (row["visual_start"], row["visual_end"]) == (0.1, 0.4)
    utterance = manifest.utterances(["Ses01M_script01_1b_F000"])[0]
    assert (utterance.audio.start, utterance.audio.crop) == (None, "")
    assert (utterance.visual.start, utterance.visual.end, utterance.visual.crop) == (0.1, 0.4, "right")
    assert utterance.visual.path == tmp_path / row["visual_path"]


def test_the_actor_named_in_the_dialogue_s_id_sits_on_the_left(tmp_path):
    table = ingest(write_iemocap(tmp_path)).table.set_index("utterance")
    assert table["crop"][["Ses01F_impro01_F000", "Ses01F_impro01_M000"]].tolist() == ["left", "right"]
    assert table["crop"][["Ses01M_script01_1b_F000", "Ses01M_script01_1b_M000"]].tolist() == ["right", "left"]
    assert table["speaker"][["Ses01F_impro01_F000", "Ses01F_impro01_M000"]].tolist() == ["F", "M"]


def test_the_transcription_s_order_counts_not_the_times(tmp_path):
    turns = [
        Turn("F000", "neu", 5, 6, "third"),
        Turn("M000", "ang", 1, 2, "first"),
        Turn("F001", "sad", 3, 4, "second"),
    ]
    transcript = transcription("Ses01F_impro02", [turns[0], turns[2], turns[1]])
    manifest = dialogue(tmp_path, "Ses01F_impro02", *turns, transcript=transcript)
    assert manifest.table["text"].tolist() == ["third", "second", "first"]
    assert manifest.table["turn"].tolist() == [0, 1, 2]
    assert manifest.table["label"].tolist() == ["neu", "sad", "ang"]


def test_asides_are_skipped_and_counted(tmp_path):
    lines = [
        "Ses01F_impro02_F000 [001.0000-002.0000]: I said no.",
        "M: [LAUGHTER]",
        "F: What?",
        "Ses01F_impro02_MXX0 [002.0000-003.0000]: Mm.",
        "Ses01F_impro02_FXX1 [003.0000-004.0000]: Mm-hm.",
        "Ses01F_impro02_M000: no time",
        "",
        "Ses01F_impro02_M001 [004.0000-005.0000]: Fine.",
        "Ses09F_impro02_M001 [004.0000-005.0000]: another dialogue's",
    ]
    turns = [Turn("F000", "neu", 1, 2), Turn("M001", "ang", 4, 5)]
    manifest = dialogue(tmp_path, "Ses01F_impro02", *turns, transcript="\r\n".join(lines))
    assert manifest.table["text"].tolist() == ["I said no.", "Fine."]
    assert found(manifest, "aside") == [f"Ses01F_impro02.txt:{line}" for line in (2, 3, 4, 5, 6, 9)]
    assert manifest.summary()["skipped_counts"]["aside"] == 6
    reason = next(item.reason for item in manifest.skipped if item.item.endswith(":4"))
    assert "Ses01F_impro02_MXX0" in reason


def test_labels_beyond_the_six_are_not_in_the_manifest_but_listed(tmp_path):
    labels = ["xxx", "sur", "fea", "dis", "oth", "hap", "blue"]
    turns = [Turn(f"F{number:03}", label, number, number + 1) for number, label in enumerate(labels)]
    manifest = dialogue(tmp_path, "Ses01F_impro02", *turns)
    assert manifest.table["utterance"].tolist() == ["Ses01F_impro02_F005"]
    assert manifest.table["turn"].tolist() == [0]
    assert found(manifest, "unscored") == [f"Ses01F_impro02_F00{number}" for number in range(5)]
    assert found(manifest, "unknown_label") == ["Ses01F_impro02_F006"]


def test_benchmark_and_release_differ_by_the_undecided_turns(tmp_path):
    turns = [Turn("F003", "xxx", 1, 2), Turn("F007", "xxx", 3, 4), Turn("M000", "hap", 5, 6)]
    write_dialogue(tmp_path, "Ses01F_impro03", turns)
    benchmark, release = ingest(tmp_path), ingest(tmp_path, "release")
    assert benchmark.table["utterance"].tolist() == ["Ses01F_impro03_F007", "Ses01F_impro03_M000"]
    assert benchmark.table["label"].tolist() == ["hap", "hap"]
    assert release.table["utterance"].tolist() == ["Ses01F_impro03_M000"]
    assert release.table["turn"].tolist() == [0]
    assert benchmark.digest != release.digest


def test_the_benchmark_s_53_turns():
    assert len(BENCHMARK_HAPPY) == 53
    assert sum(name.startswith("Ses05") for name in BENCHMARK_HAPPY) == 1
    assert {"Ses01F_impro03_F007", "Ses03M_impro05a_F017", "Ses05F_impro07_M010"} <= BENCHMARK_HAPPY


def test_a_listed_turn_with_a_label_of_its_own_keeps_it(tmp_path):
    manifest = dialogue(tmp_path, "Ses01F_impro03", Turn("F007", "sad", 1, 2), Turn("F011", "sur", 3, 4))
    assert manifest.table["label"].tolist() == ["sad"]
    assert found(manifest, "unscored") == ["Ses01F_impro03_F011"]


def test_an_evaluated_turn_without_transcript_stays_after_the_one_before_it_in_time(tmp_path):
    turns = [Turn("F000", "neu", 1, 2, "one"), Turn("M000", "ang", 2.5, 3), Turn("F001", "sad", 4, 5, "two"),
             Turn("M001", "neu", 0.2, 0.9)]  # fmt: skip
    transcript = transcription("Ses01F_impro02", [turns[2], turns[0]])
    manifest = dialogue(tmp_path, "Ses01F_impro02", *turns, transcript=transcript)
    assert manifest.table["utterance"].str[-4:].tolist() == ["M001", "F001", "F000", "M000"]
    assert manifest.table["text"].tolist() == ["", "two", "one", ""]
    assert found(manifest, "missing_transcript") == ["Ses01F_impro02_M001", "Ses01F_impro02_M000"]


def test_a_transcribed_turn_without_evaluation_is_skipped(tmp_path):
    turns = [Turn("F000", "neu", 1, 2), Turn("M000", "ang", 3, 4)]
    manifest = dialogue(tmp_path, "Ses01F_impro02", turns[0], transcript=transcription("Ses01F_impro02", turns))
    assert manifest.table["utterance"].tolist() == ["Ses01F_impro02_F000"]
    assert found(manifest, "unannotated") == ["Ses01F_impro02_M000"]


def test_a_dialogue_with_one_file_of_the_two(tmp_path):
    root = write_iemocap(tmp_path)
    (root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").unlink()
    (root / "Session2/dialog/transcriptions/Ses02F_impro01.txt").unlink()
    manifest = ingest(root)
    assert found(manifest, "unannotated") == ["Ses01F_impro01_F000", "Ses01F_impro01_M000"]
    assert found(manifest, "missing_transcript") == ["Ses02F_impro01_F000", "Ses02F_impro01_M000"]
    assert "Ses01F_impro01" not in set(manifest.table["dialogue"])


def test_broken_and_repeated_lines_are_listed_never_fatal(tmp_path):
    root = tmp_path
    write_dialogue(root, "Ses01F_impro02", [Turn("F000", "neu", 1, 2, "yes")])
    file = root / "Session1/dialog/EmoEvaluation/Ses01F_impro02.txt"
    lines = [
        "[3.0 - 2.0]\tSes01F_impro02_F001\tneu\t[1, 1, 1]",
        "[1.2.3 - 2.0]\tSes01F_impro02_F002\tneu\t[1, 1, 1]",
        "[nan - 2.0]\tSes01F_impro02_F002\tneu\t[1, 1, 1]",
        "[1.0 - 2.0]\tSes01F_impro02_F003\tneu",
        "[1.0 - 2.0]\tSes01F_impro09_F003\tneu\t[1, 1, 1]",
        "[1.0 - 2.0]\tSes01F_impro02/../../x_F003\tneu\t[1, 1, 1]",
        "[7.0 - 8.0]\tSes01F_impro02_F000\tang\t[1, 1, 1]",
        "[7.0 - 8.0]\tSes01F_impro02_M000\tANG\t[1.0, 1.0, 1.0]\r",
    ]
    first = len(file.read_text().splitlines()) + 1
    with file.open("a") as stream:
        stream.write("\n".join(lines))
    transcript = root / "Session1/dialog/transcriptions/Ses01F_impro02.txt"
    transcript.write_bytes(transcript.read_bytes() * 2 + b"Ses01F_impro02_M000 [007.0000-008.0000]: it\x92s\r\n")
    manifest = ingest(root)
    assert found(manifest, "broken_row") == [f"Ses01F_impro02.txt:{first + line}" for line in range(6)]
    assert found(manifest, "duplicate") == [f"Ses01F_impro02.txt:{first + 6}", "Ses01F_impro02.txt:2"]
    assert manifest.table[["utterance", "label", "text"]].to_numpy().tolist() == [
        ["Ses01F_impro02_F000", "neu", "yes"],
        ["Ses01F_impro02_M000", "ang", "it’s"],
    ]


def test_a_missing_session_is_listed_and_none_at_all_is_an_error(tmp_path):
    write_dialogue(tmp_path, "Ses02F_impro01", [Turn("F000", "neu", 1, 2)])
    manifest = ingest(tmp_path)
    assert found(manifest, "missing_session") == ["Session1", "Session3", "Session4", "Session5"]
    assert Skipped("Session1", "missing_session", "no such folder") in manifest.skipped
    with pytest.raises(CorpusError, match="expected the folders Session1 to Session5"):
        ingest(tmp_path / "Session2")
    with pytest.raises(CorpusError, match=r"no such folder; set corpus\.root to the folder of IEMOCAP_full_release"):
        ingest(tmp_path / "nowhere")


def test_a_session_without_evaluations_is_an_error(tmp_path):
    write_dialogue(tmp_path, "Ses01F_impro01", [Turn("F000", "neu", 1, 2)])
    (tmp_path / "Session2").mkdir()
    with pytest.raises(CorpusError, match="Session2/dialog/EmoEvaluation: no such folder"):
        ingest(tmp_path)


def test_only_undecided_turns_is_an_error(tmp_path):
    write_dialogue(tmp_path, "Ses01F_impro01", [Turn("F000", "xxx", 1, 2)])
    with pytest.raises(CorpusError, match="no turn with one of the labels hap, sad"):
        ingest(tmp_path)
