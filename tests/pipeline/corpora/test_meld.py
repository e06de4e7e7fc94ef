import hashlib
import shutil

import pytest

from bigfusion.pipeline.corpora.scan import MeldSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Skipped, Split
from tests.helpers.meld_tree import CLIPS, CSV, SMALL, Line, csv_bytes, write_meld
from tests.helpers.tiny_media import write_clip


def ingest(root, **kwargs):
    return scan(MeldSettings(kind="meld", root=root), FileDigests(), **kwargs)


def only(root, *lines, **over):
    """A corpus whose training CSV alone matters."""
    return write_meld(root, {**SMALL, "train": lines, **over})


def skipped(manifest, *statuses):
    return [(item.item, item.status) for item in manifest.skipped if item.status in statuses]


def train(manifest):
    return manifest.table[manifest.table["split"] == "train"]


def test_annotations_alone_keep_every_row_as_missing_media(tmp_path):
    manifest = ingest(write_meld(tmp_path))
    assert manifest.corpus == "meld"
    assert manifest.labels == ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
    assert manifest.table["utterance"].tolist() == [
        "train/dia0_utt0", "train/dia0_utt1", "train/dia0_utt4", "train/dia2_utt0",
        "valid/dia0_utt0", "valid/dia0_utt1", "test/dia0_utt0",
    ]  # fmt: skip
    assert manifest.table["dialogue"].tolist()[2:5] == ["train/dia0", "train/dia2", "valid/dia0"]
    assert manifest.table["turn"].tolist() == [0, 1, 2, 0, 0, 1, 0]
    assert manifest.table["speaker"].tolist()[:2] == ["Ross", "Monica"]
    assert [item.status for item in manifest.skipped] == ["missing_media"] * 7
    assert manifest.skipped[2] == Skipped("train/dia0_utt4", "missing_media", "no file train_splits/dia0_utt4.mp4")
    assert manifest.counts()["dialogues"] == {"train": 2, "valid": 1, "test": 1}
    assert manifest.counts()["labels"]["valid"] == {
        "neutral": 0, "surprise": 0, "fear": 1, "sadness": 0, "joy": 0, "disgust": 0, "anger": 1,
    }  # fmt: skip


def test_transcripts_that_look_like_missing_values_are_words(tmp_path):
    texts = ingest(write_meld(tmp_path)).table["text"].tolist()
    assert texts == ["So let’s talk", "None", "Oh no, no", "null", "NA", "Why?", "nan"]


@pytest.mark.parametrize("nested", [False, True])
def test_media_are_digested_wherever_the_archives_unpacked(tmp_path, nested):
    root = write_meld(tmp_path, nested=nested, media=True)
    ticks = []
    manifest = ingest(root, progress=lambda *tick: ticks.append(tick))
    assert manifest.skipped == ()
    assert ticks[-1] == (7, 7)
    folder = "dev/dev_splits_complete" if nested else "dev_splits_complete"
    row = manifest.table.set_index("utterance").loc["valid/dia0_utt1"]
    assert row["audio_path"] == row["visual_path"] == f"{folder}/dia0_utt1.mp4"
    file = root / folder / "dia0_utt1.mp4"
    assert row["audio_sha256"] == row["visual_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    utterance = manifest.utterances(["valid/dia0_utt1"])[0]
    assert utterance.audio.path == file
    assert (utterance.audio.start, utterance.visual.end, utterance.visual.crop) == (None, None, "")
    assert manifest.table[["audio_start", "visual_end"]].isna().all().all()


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_csv_inside_the_clip_folder(tmp_path, split):
    root = write_meld(tmp_path)
    (root / CLIPS[split]).mkdir()
    shutil.move(root / CSV[split], root / CLIPS[split] / CSV[split])
    assert len(ingest(root)) == 7


def test_the_same_corpus_has_one_digest_wherever_it_lies(tmp_path):
    flat = ingest(write_meld(tmp_path / "a", media=True))
    nested = ingest(write_meld(tmp_path / "b/c", nested=True, media=True))
    assert flat.digest == nested.digest
    assert flat.digest != ingest(write_meld(tmp_path / "d")).digest


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_missing_csv_names_all_three_and_where_it_looked(tmp_path, split):
    root = write_meld(tmp_path / "MELD.Raw")
    (root / CSV[split]).unlink()
    with pytest.raises(CorpusError) as error:
        ingest(root)
    message = str(error.value)
    assert "\n" not in message
    for part in (*CSV.values(), f"MELD.Raw/{CLIPS[split]}", "looked in"):
        assert part in message


def test_a_missing_folder_and_a_missing_column(tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere: no such folder; set corpus\.root"):
        ingest(tmp_path / "nowhere")
    root = write_meld(tmp_path)
    (root / CSV["test"]).write_text("Sr No.,Utterance,Speaker,Sentiment,Dialogue_ID,Utterance_ID\n")
    with pytest.raises(CorpusError, match=r"test_sent_emo.csv: no column Emotion; expected Utterance, .* found Sr No"):
        ingest(root)
    (root / CSV["test"]).write_bytes(b"")
    with pytest.raises(CorpusError, match="found an empty file"):
        ingest(root)


def test_order_is_by_number_not_by_line(tmp_path):
    lines = (Line(10, 1, "d"), Line(9, 3, "b"), Line(10, 0, "c"), Line(9, 0, "a"))
    table = train(ingest(only(tmp_path, *lines)))
    assert table["text"].tolist() == ["a", "b", "c", "d"]
    assert table["dialogue"].tolist() == ["train/dia9", "train/dia9", "train/dia10", "train/dia10"]
    assert table["turn"].tolist() == [0, 1, 0, 1]


def test_a_duplicate_is_listed_with_its_line_and_the_first_one_counts(tmp_path):
    manifest = ingest(only(tmp_path, Line(0, 0, "first"), Line(0, 1, "x"), Line(0, 0, "second")))
    assert train(manifest)["text"].tolist() == ["first", "x"]
    assert skipped(manifest, "duplicate") == [("train_sent_emo.csv:4", "duplicate")]


def test_unknown_emotions_and_broken_rows_are_listed_never_fatal(tmp_path):
    root = only(tmp_path, Line(0, 0, "kept", " Joy "))
    row = "9,text,Joey,{emotion},neutral,{dialogue},{number},8,21,0,1\r\n"
    rows = [
        row.format(emotion="bored", dialogue=0, number=1),
        row.format(emotion="joy", dialogue="x", number=2),
        row.format(emotion="joy", dialogue=0, number="../../etc/passwd"),
        row.format(emotion="joy", dialogue=0, number=-1),
        row.format(emotion="joy", dialogue=0, number="٣"),
        "too,short\r\n",
        row.format(emotion="joy", dialogue=0, number="5,extra"),
        "\r\n",
        row.format(emotion="anger", dialogue=0, number=6),
    ]
    with (root / CSV["train"]).open("ab") as file:
        file.write("".join(rows).encode())
    manifest = ingest(root)
    assert train(manifest)["label"].tolist() == ["joy", "anger"]
    assert skipped(manifest, "unknown_label") == [("train_sent_emo.csv:3", "unknown_label")]
    assert [item for item, _ in skipped(manifest, "broken_row")] == [
        f"train_sent_emo.csv:{line}" for line in (4, 5, 6, 7, 8, 9)
    ]
    assert next(item.reason for item in manifest.skipped if item.item.endswith(":3")).endswith("found 'bored'")


def test_a_stray_quote_costs_its_own_line(tmp_path):
    root = only(tmp_path, Line(0, 0, "before"), Line(0, 1, "STRAY"), Line(0, 2, "after"), Line(0, 3, 'a "real" one'))
    file = root / CSV["train"]
    file.write_bytes(file.read_bytes().replace(b"STRAY", b'"oh, no'))
    manifest = ingest(root)
    assert train(manifest)["text"].tolist() == ["before", "after", 'a "real" one']
    assert manifest.skipped[0].item == "train_sent_emo.csv:3"
    assert "a quote that does not close" in manifest.skipped[0].reason


def test_a_cell_with_a_line_end_is_one_row_on_one_line(tmp_path):
    manifest = ingest(only(tmp_path, Line(0, 0, "two\nlines"), Line(0, 1, "next"), Line(0, 1, "again")))
    assert train(manifest)["text"].tolist() == ["two lines", "next"]
    assert skipped(manifest, "duplicate") == [("train_sent_emo.csv:5", "duplicate")]


def test_a_quotation_over_two_rows_does_not_make_them_one(tmp_path):
    lines = [Line(0, 0, "OPEN"), Line(0, 1, "CLOSED"), Line(0, 2, "one, two,\nthree"), Line(0, 3, "after")]
    root = only(tmp_path, *lines)
    file = root / CSV["train"]
    file.write_bytes(file.read_bytes().replace(b"OPEN", b'"I am sorry.').replace(b"CLOSED", b'I see."'))
    manifest = ingest(root)
    assert train(manifest)["utterance"].tolist() == ["train/dia0_utt1", "train/dia0_utt2", "train/dia0_utt3"]
    assert train(manifest)["text"].tolist() == ['I see."', "one, two, three", "after"]
    assert skipped(manifest, "broken_row") == [("train_sent_emo.csv:2", "broken_row")]


def test_bytes_of_three_encodings_in_one_file_lose_no_line(tmp_path):
    root = only(tmp_path, Line(0, 0, "itAs"), Line(0, 1, "itBs"), Line(0, 2, "itCs"), Line(0, 3, "waitDok"))
    file = root / CSV["train"]
    data = file.read_bytes().replace(b"itAs", "it’s".encode()).replace(b"itBs", b"it\x92s")
    data = data.replace(b"itCs", "itâ€™s".encode()).replace(b"waitDok", "wait\x85ok".encode())
    file.write_bytes(b"\xef\xbb\xbf" + data)
    assert train(ingest(root))["text"].tolist() == ["it’s", "it’s", "it’s", "wait…ok"]


def test_doubles_and_mac_files_beside_the_test_clips_are_ignored(tmp_path):
    root = write_meld(tmp_path)
    folder = root / CLIPS["test"]
    write_clip(folder / "final_videos_testdia0_utt0.mp4")
    (folder / "._dia0_utt0.mp4").write_bytes(b"Mac OS X")
    manifest = ingest(root)
    assert manifest.counts()["utterances"]["test"] == 1
    assert ("test/dia0_utt0", "missing_media") in skipped(manifest, "missing_media")
    write_clip(folder / "dia0_utt0.mp4")
    assert ("test/dia0_utt0", "missing_media") not in skipped(ingest(root), "missing_media")


def test_an_empty_transcript_stays_and_is_listed(tmp_path):
    manifest = ingest(only(tmp_path, Line(0, 0, "  ")))
    assert train(manifest)["text"].tolist() == [""]
    assert skipped(manifest, "missing_transcript") == [("train/dia0_utt0", "missing_transcript")]


def test_thirteen_thousand_rows_take_about_a_second(tmp_path):
    import time

    lines = [Line(number // 10, number % 10, f"Well, that’s number {number}…") for number in range(13_708)]
    root = write_meld(tmp_path, {"train": lines, "valid": [], "test": []})
    start = time.perf_counter()
    manifest = ingest(root)
    assert len(manifest) == 13_708
    assert time.perf_counter() - start < 5


def test_a_split_without_rows_is_a_corpus_still(tmp_path):
    manifest = ingest(write_meld(tmp_path, {**SMALL, "valid": ()}))
    assert list(manifest.counts()["utterances"]) == [Split.TRAIN, Split.TEST]
    with pytest.raises(CorpusError, match="no usable row"):
        ingest(write_meld(tmp_path / "empty", {"train": (), "valid": (), "test": ()}))


def test_the_generator_writes_what_the_corpus_does():
    assert csv_bytes([Line(0, 3, "a, b", "joy", "Ross")]).splitlines()[1] == (
        b'1,"a, b",Ross,joy,neutral,0,3,8,21,"00:16:16,059","00:16:21,731"'
    )
