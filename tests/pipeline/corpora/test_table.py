import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bigfusion.pipeline.corpora.deal import SHARES, deal
from bigfusion.pipeline.corpora.scan import CorpusSettings, TableSettings, scan
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from tests.helpers.tiny_media import write_clip, write_wav

HEADER = "dialogue,turn,speaker,text,label,media"
SMALL = f"""{HEADER},split
call-2,0,Ann,Hello,calm,clips/a.mp4,train
call-1,3,Ben,"None, I said",angry,clips/b.mp4,test
call-1,1,Ann,NA,calm,clips/c.mp4,test
call-2,1,Ben,,,clips/d.mp4,train
"""


def ingest(path, text=SMALL, **settings):
    if isinstance(text, str | bytes):
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return scan(TableSettings(kind="table", path=path, **settings), FileDigests())


def refusal(path, text, **settings):
    with pytest.raises(CorpusError) as error:
        ingest(path, text, **settings)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.fixture
def table(tmp_path) -> Path:
    return tmp_path / "calls.csv"


def test_a_small_table(table):
    write_clip(table.parent / "clips/a.mp4")
    manifest = ingest(table)
    assert (manifest.corpus, manifest.root, manifest.labels) == ("calls", table.parent, ("angry", "calm"))
    assert manifest.table["utterance"].tolist() == ["call-2/0", "call-2/1", "call-1/1", "call-1/3"]
    assert manifest.table["turn"].tolist() == [0, 1, 0, 1]
    assert manifest.table["text"].tolist() == ["Hello", "", "NA", "None, I said"]
    assert manifest.table["label"].tolist() == ["calm", "", "calm", "angry"]
    assert manifest.table["split"].tolist() == ["train", "train", "test", "test"]
    sha256 = hashlib.sha256((table.parent / "clips/a.mp4").read_bytes()).hexdigest()
    assert manifest.table["audio_sha256"].tolist() == manifest.table["visual_sha256"].tolist() == [sha256, "", "", ""]
    assert manifest.table["audio_path"].tolist()[:2] == ["clips/a.mp4", "clips/d.mp4"]
    assert [(item.item, item.status) for item in manifest.skipped] == [
        ("call-2/1", "missing_media"), ("call-2/1", "missing_transcript"),
        ("call-1/1", "missing_media"), ("call-1/3", "missing_media"),
    ]  # fmt: skip


def test_parquet_and_tsv_say_the_same_as_csv(table):
    expected = ingest(table)
    rows = [line.split("\t") for line in SMALL.replace(', I said"', '; I said"').replace(",", "\t").splitlines()]
    columns = {
        name: [row[place].strip('"').replace(";", ",") for row in rows[1:]] for place, name in enumerate(rows[0])
    }
    columns["turn"] = [int(turn) for turn in columns["turn"]]
    columns["label"] = [label or None for label in columns["label"]]
    pq.write_table(pa.table(columns), table.with_suffix(".parquet"))
    assert ingest(table.with_suffix(".parquet"), None).digest == expected.digest
    tsv = "\n".join("\t".join(row) for row in rows).replace("; I", ", I")
    assert ingest(table.with_suffix(".tsv"), tsv).digest == expected.digest


def test_parquet_of_other_types(tmp_path):
    path = tmp_path / "calls.parquet"
    columns = {
        "dialogue": pa.array([7, 7]), "turn": pa.array([1.0, 0.0]), "speaker": pa.array(["a", "b"]).dictionary_encode(),
        "text": pa.array(["x", None]), "label": pa.array([3, None]), "media": pa.array([None, None], pa.string()),
        "start": pa.array([0.5, np.nan]), "split": ["train", "train"],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    manifest = ingest(path, None)
    assert manifest.table["utterance"].tolist() == ["7/0", "7/1"]
    assert manifest.table["label"].tolist() == ["", "3"]
    assert manifest.table["audio_start"].tolist()[1] == 0.5
    assert np.isnan(manifest.table["audio_start"][0])
    pq.write_table(pa.table({**columns, "text": pa.array([[1.0], [2.0]])}), path)
    assert "column text: expected text or numbers, found list" in refusal(path, None)
    path.write_bytes(b"PAR1 not")
    assert "expected a Parquet file, found" in refusal(path, None)


def test_spoilt_encodings_are_read(table):
    manifest = ingest(table, f"{HEADER}\nd,0,Ann,itAs,x,\nd,1,Ann,itBs,x,\n".encode().replace(b"A", b"\x92").replace(
        b"B", "’".encode()).replace(b"\x92nn", b"Ann"))  # fmt: skip
    assert manifest.table["text"].tolist() == ["it’s", "it’s"]
    assert ingest(table, b"\xef\xbb\xbf" + SMALL.encode()).digest == ingest(table).digest


def test_own_column_names_labels_name_and_media_folder(table, tmp_path):
    folder = tmp_path / "elsewhere"
    write_wav(folder / "x.wav")
    write_clip(folder / "x.mp4")
    text = "Dia,no,who,said,emotion,wav,mp4,from,to,half,part\nd,5,Ann,hi,sad,x.wav,x.mp4,0.5,2,LEFT,dev\n"
    columns = {
        "dialogue": "Dia", "turn": "no", "speaker": "who", "text": "said", "label": "emotion", "audio": "wav",
        "visual": "mp4", "start": "from", "end": "to", "crop": "half", "split": "part", "media": "",
    }  # fmt: skip
    manifest = ingest(table, text, columns=columns, labels=("joy", "sad"), name="mine", media_root=folder)
    row = manifest.table.iloc[0]
    assert (manifest.corpus, manifest.labels, manifest.root) == ("mine", ("joy", "sad"), folder)
    assert (row["audio_path"], row["visual_path"], row["crop"]) == ("x.wav", "x.mp4", "left")
    assert (row["audio_start"], row["audio_end"], row["visual_start"], row["visual_end"]) == (0.5, 2.0, 0.5, 2.0)
    assert row["split"] == "valid"
    assert row["audio_sha256"] != row["visual_sha256"] != ""
    assert manifest.skipped == ()


def test_what_is_set_to_nothing_is_not_needed(table):
    text = "dialogue,turn,speaker\nd,0,Ann\n"
    manifest = ingest(table, text, columns={"text": "", "label": "", "media": ""})
    assert manifest.labels == ()
    assert manifest.table["audio_path"].tolist() == [""]
    with pytest.raises(ValidationError):
        TableSettings(kind="table", path=table, columns={"speaker": ""})


@pytest.mark.parametrize("column", [name for name in HEADER.split(",") if name != "label"])
def test_a_missing_column_names_it_and_those_there(table, column):
    header = HEADER.replace(column, "other")
    message = refusal(table, f"{header}\nd,0,Ann,hi,x,\n")
    assert f"expected a column '{column}', found {header.replace(',', ', ')}" in message
    assert f"corpus.columns.{column}" in message


def test_a_column_named_in_the_settings_must_be_there(table):
    assert "expected a column 'part'" in refusal(table, SMALL, columns={"split": "part"})


ROW = "d,0,Ann,hi,x,a.mp4"
BAD = {
    "turn": (f"{HEADER}\n{ROW}\nd,one,Ann,hi,x,\n", "row 2 (line 3), column turn: expected a whole number, found"),
    "no turn": (f"{HEADER}\nd,,Ann,hi,x,\n", "row 1 (line 2), column turn: expected a whole number, found ''"),
    "half": (f"{HEADER}\nd,1.5,Ann,hi,x,\n", "expected a whole number, found '1.5'"),
    "huge": (f"{HEADER}\nd,{10**30},Ann,hi,x,\n", "expected a whole number"),
    "no dialogue": (f"{HEADER}\n,0,Ann,hi,x,\n", "column dialogue: expected an id"),
    "up": (f"{HEADER}\n{ROW}\n../d,0,Ann,hi,x,\n", "row 2 (line 3), column dialogue: expected an id without"),
    "absolute id": (f"{HEADER}\n/d,0,Ann,hi,x,\n", "column dialogue: expected an id"),
    "NUL id": (f"{HEADER}\na\0b,0,Ann,hi,x,\n", "column dialogue: expected an id without control characters"),
    "NUL path": (f"{HEADER}\nd,0,Ann,hi,x,a\0.mp4\n", "column media: expected a path inside"),
    "climbing": (f"{HEADER}\nd,0,Ann,hi,x,../../etc/passwd\n", "column media: expected a path inside"),
    "inner climbing": (f"{HEADER}\nd,0,Ann,hi,x,a/../../b.mp4\n", "found 'a/../../b.mp4'"),
    "elsewhere": (f"{HEADER}\nd,0,Ann,hi,x,/etc/passwd\n", "corpus.media_root names another folder"),
    "the folder": (f"{HEADER}\nd,0,Ann,hi,x,.\n", "column media: expected a path inside"),
    "no speaker": (f"{HEADER}\nd,0,,hi,x,\n", "column speaker: expected a name, found ''"),
    "twice": (f"{HEADER}\n{ROW}\ne,0,Ann,hi,x,\nd,0,Ben,hi,x,\n",
              "row 3 (line 4), column turn: expected a turn that the dialogue does not have (row 1 (line 2) has it)"),
    "split": (f"{HEADER},split\n{ROW},eval\n", "column split: expected one of train, training, valid, validation, val"),
    "two splits": (f"{HEADER},split\n{ROW},train\nd,1,Ann,hi,x,,test\n", "row 2 (line 3), column split: expected"),
    "start": (f"{HEADER},start\n{ROW},soon\n",
              "expected seconds from 0 on, mm:ss or hh:mm:ss,ms, or nothing, found 'soon'"),
    "negative": (f"{HEADER},start\n{ROW},-1\n", "column start: expected seconds from 0 on"),
    "nan": (f"{HEADER},end\n{ROW},nan\n", "column end: expected seconds from 0 on"),
    "end": (f"{HEADER},start,end\n{ROW},2,1\n", "column end: expected an end after the start, found '1'"),
    "crop": (f"{HEADER},crop\n{ROW},top\n", "column crop: expected left, right or nothing, found 'top'"),
    "short": (f"{HEADER}\n{ROW}\nd,1,Ann\n", "row 2 (line 3): expected 6 cells, found 3"),
    "long": (f"{HEADER}\nd,0,Ann,hi, there,x,\n", "row 1 (line 2): expected 6 cells, found 7"),
    "quote": (f'{HEADER}\nd,0,Ann,"hi,x,\n', "expected closed quotes"),
    "stray quote": (f'{HEADER}\nd,0,Ann,"hi" you,x,\n', "expected closed quotes"),
    "no rows": (f"{HEADER}\n", "expected at least one row"),
    "empty": ("", "expected a header and rows, found an empty file"),
    "header twice": (f"{HEADER},label\n{ROW},y\n", "expected one column 'label', found 2"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_the_first_bad_row_is_named(table, text, message):
    found = refusal(table, text)
    assert message in found
    assert found.startswith(str(table))


def test_lines_are_the_file_s_though_cells_hold_line_ends(table):
    text = f'{HEADER}\nd,0,Ann,"two\nlines",x,\n\nd,one,Ann,hi,x,\n'
    assert "row 2 (line 5), column turn" in refusal(table, text)


def test_a_label_outside_the_list_is_named(table):
    message = refusal(table, f"{HEADER}\n{ROW}\nd,1,Ann,hi,sadd,\n", labels=("x", "sad"))
    assert "row 2 (line 3), column label: expected one of x, sad (corpus.labels; corpus.label_map" in message
    assert message.endswith("found 'sadd'")


def test_other_files_and_none(table, tmp_path):
    assert "expected a table whose name ends in one of .csv, .tsv" in refusal(tmp_path / "t.xlsx", "x")
    assert "expected a text file, found no file of that name" in refusal(table, None)
    assert "no such file; set corpus.path" in refusal(tmp_path / "t.parquet", None)


def test_media_inside_the_root_may_be_named_absolutely_and_outside_only_if_it_is_the_root(table, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write_wav(outside / "a.wav")
    text = f"{HEADER}\nd,0,Ann,hi,x,{outside}/a.wav\n"
    assert "expected a path inside" in refusal(table, text)
    manifest = ingest(table, text, media_root=outside)
    assert manifest.table["audio_path"].tolist() == ["a.wav"]
    assert manifest.utterances()[0].audio.path == outside / "a.wav"
    sibling = f"{HEADER}\nd,0,Ann,hi,x,{outside}-2/a.wav\n"
    assert "expected a path inside" in refusal(table, sibling, media_root=outside)


@pytest.mark.parametrize("cell", ["http://host/a.mp4", "concat:a|b", "-i", "--help", "~/a.mp4", "%03d.png", "CON"])
def test_what_looks_like_an_address_or_an_option_is_a_file_name(table, cell):
    manifest = ingest(table, f"{HEADER}\nd,0,Ann,hi,x,{cell}\n")
    assert [item.status for item in manifest.skipped] == ["missing_media"]
    assert (table.parent / manifest.table["audio_path"][0]).is_relative_to(table.parent)
    assert manifest.table["audio_sha256"].tolist() == [""]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, max_size=30), st.randoms())
def test_dialogues_are_dealt_the_same_way_in_any_order(names, random):
    dealt = deal(names)
    shuffled = list(names)
    random.shuffle(shuffled)
    assert deal(shuffled) == dealt
    assert set(dealt) == set(names)
    if len(names) >= 3:
        assert set(dealt.values()) == {"train", "valid", "test"}


def test_dealing_follows_the_hash_and_keeps_its_shares():
    names = [f"dialogue-{number}" for number in range(2000)]
    dealt = deal(names)
    for name in names:
        share = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") / 2**256
        assert dealt[name] == ("train" if share < SHARES[0] else "valid" if share < SHARES[1] else "test")
    counts = [sum(split == wanted for split in dealt.values()) for wanted in ("train", "valid", "test")]
    assert all(abs(count - expected) < 60 for count, expected in zip(counts, (1600, 200, 200), strict=True))
    assert all(dealt[name] == split for name, split in deal(names[:500]).items())


def test_dealing_few_dialogues():
    assert deal([]) == {}
    assert deal(["a"]) == {"a": "train"}
    assert sorted(deal(["a", "b"]).values()) == ["test", "train"]
    assert sorted(deal(["a", "b", "c"]).values()) == ["test", "train", "valid"]


def test_without_a_split_column_whole_dialogues_are_dealt(table):
    rows = "".join(f"d{number},{turn},Ann,hi,x,\n" for turn in range(2) for number in range(12))
    manifest = ingest(table, f"{HEADER}\n{rows}")
    dealt = deal([f"d{number}" for number in range(12)])
    assert manifest.table["split"].tolist() == [dealt[name] for name in manifest.table["dialogue"]]
    assert sum(manifest.counts()["dialogues"].values()) == 12


def test_settings_tell_the_kinds_apart():
    adapter = TypeAdapter(CorpusSettings)
    for kind, place in {"meld": "root", "iemocap": "root", "table": "path", "features": "path"}.items():
        assert adapter.validate_python({"kind": kind, place: "x"}).kind == kind
    for wrong in ({"kind": "melt", "root": "x"}, {"root": "x"}, {"kind": "meld", "root": "x", "labels": "release"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def singles(*speakers: str, extra: str = "") -> str:
    """A corpus of single utterances, two of each speaker."""
    rows = [f"{name}-{take},0,{name},hi,x,{extra}\n" for name in speakers for take in range(2)]
    return f"{HEADER}\n{''.join(rows)}"


SPEAKERS = [f"speaker{number:02}" for number in range(40)]


def test_speakers_on_both_sides_of_a_split_are_said_for_single_utterances(table):
    manifest = ingest(table, singles(*SPEAKERS))
    rows = manifest.table
    sides = {split: {*rows.loc[rows["split"] == split, "speaker"]} for split in ("train", "valid", "test")}
    shared = len(sides["test"] & sides["train"])
    assert shared > 0
    note = next(note for note in manifest.notes if "speakers" in note)
    assert f"{shared} of {len(sides['test'])} test speakers" in note
    assert 'corpus.split_by = "speaker"' in note
    dialogues = "".join(f"d{number},{turn},Ann,hi,x,\n" for number in range(12) for turn in range(2))
    assert ingest(table, f"{HEADER}\n{dialogues}").notes == (), "conversations of the same people are usual"


@pytest.mark.parametrize("role", ["speaker", "who"])
def test_splits_by_speaker_are_dealt_by_the_speaker_s_digest(table, role):
    text = singles(*SPEAKERS).replace("speaker,", f"{role},", 1)
    manifest = ingest(table, text, split_by="speaker", columns={"speaker": role})
    dealt = deal(SPEAKERS)
    assert manifest.table["split"].tolist() == [dealt[name] for name in manifest.table["speaker"]]
    assert manifest.notes == ()


def test_splits_by_any_column_keep_each_value_and_each_dialogue_in_one_split(table):
    rows = "".join(f"d{k},{turn},Ann,hi,x,,site{k % 20}\n" for k in range(60) for turn in range(2))
    manifest = ingest(table, f"{HEADER},site\n{rows}", split_by="site")
    dealt = deal([f"site{k}" for k in range(20)])
    expected = [dealt[f"site{int(name[1:]) % 20}"] for name in manifest.table["dialogue"]]
    assert manifest.table["split"].tolist() == expected
    assert set(expected) == {"train", "valid", "test"}


def test_splits_by_a_column_that_cannot_are_refused(table):
    assert "expected a column 'site' (corpus.split_by), found dialogue" in refusal(
        table, singles("a", "b"), split_by="site"
    )
    message = refusal(table, singles("a", "b"), split_by="speaker")
    assert "expected 3 groups or more to deal by 'speaker' (corpus.split_by), found 2 in 4 dialogues" in message
    text = f"{HEADER},site\nd,0,Ann,hi,x,,A\ne,0,Ann,hi,x,,\n"
    assert "row 2 (line 3), column site: expected a value to deal" in refusal(table, text, split_by="site")
    assert "found both; write corpus.columns.split" in refusal(table, SMALL, split_by="speaker")


def test_a_split_column_that_nobody_filled_is_none(table):
    rows = "".join(f"d{number},0,s{number},hi,x,,\n" for number in range(12))
    dealt = deal([f"d{number}" for number in range(12)])
    assert ingest(table, f"{HEADER},split\n{rows}").table["split"].tolist() == [dealt[f"d{k}"] for k in range(12)]


def test_synonyms_of_splits(table):
    rows = "".join(f"{name},0,{name},hi,x,,{name}\n" for name in ("Training", "validation", "TESTING"))
    assert ingest(table, f"{HEADER},split\n{rows}").table["split"].tolist() == ["train", "valid", "test"]
    both = f"{HEADER},split\na,0,Ann,hi,x,,dev\nb,0,Ben,hi,x,,valid\n"
    assert "expected one name for valid, found 'dev' and 'valid'" in refusal(table, both)


def test_clock_times(table):
    text = f'{HEADER},start,end\nd,0,Ann,hi,x,a.mp4,1:02.5,"00:01:04,250"\nd,1,Ann,hi,x,a.mp4,64.5,1:06\n'
    manifest = ingest(table, text)
    assert manifest.table["audio_start"].tolist() == [62.5, 64.5]
    assert manifest.table["audio_end"].tolist() == [64.25, 66]
    assert "row 1 (line 2), column start: expected seconds" in refusal(table, text.replace("1:02.5", "1:72"))
    semicolons = f"{HEADER},start".replace(",", ";") + "\nd;0;Ann;hi;x;a.mp4;12,345\n"
    assert ingest(table, semicolons).table["audio_start"].tolist() == [12.345]
    assert "expected seconds" in refusal(table, f'{HEADER},start\nd,0,Ann,hi,x,a.mp4,"12,345"\n')


def test_a_table_without_labels_is_ingested_and_says_so(table):
    manifest = ingest(table, "dialogue,turn,speaker,text,emotion,media\nd,0,Ann,hi,sad,\nd,1,Ann,hi,sad,\n")
    assert (manifest.labels, manifest.table["label"].tolist()) == ((), ["", ""])
    assert "no label column among dialogue, turn, speaker, text, emotion, media" in manifest.notes[0]
    assert manifest.notes[0].endswith('write corpus.columns.label = "emotion"')
    for settings in ({"labels": ("x",)}, {"label_map": {"x": "y"}}, {"columns": {"label": "label"}}):
        assert "expected a column 'label'" in refusal(
            table, "dialogue,turn,speaker,text,media\nd,0,A,hi,\n", **settings
        )


def test_text_labels_and_speakers_are_composed(table):
    manifest = ingest(table, f"{HEADER}\nd,0,Zoe\u0308,e\u0301te\u0301,ge\u0302ne,\nd,1,Zoë,x,gêne,\n")
    assert manifest.table["speaker"].tolist() == ["Zoë", "Zoë"]
    assert manifest.table["text"][0] == "été"
    assert manifest.labels == ("gêne",)


def test_media_meet_in_either_form_of_their_names(table):
    write_wav(table.parent / "e\u0301.wav")
    manifest = ingest(table, f"{HEADER}\nd,0,Ann,hi,x,é.wav\n")
    assert manifest.skipped == ()
    assert manifest.utterances()[0].audio.path.exists()


def test_labels_in_doubt_name_the_table_and_the_map_settles_them(table):
    text = f"{HEADER}\nd,0,Ann,hi,Happy,\nd,1,Ann,hi,happy,\n"
    assert refusal(table, text).startswith(f"{table}: column label: expected classes that differ")
    assert ingest(table, text, label_map={"Happy": "happy"}).labels == ("happy",)
    assert ingest(table, text, labels=("happy", "Happy")).table["label"].tolist() == ["Happy", "happy"]
    manifest = ingest(table, text, label_map={"Happy": "joy", "happy": ""})
    assert (manifest.labels, manifest.table["label"].tolist()) == (("joy",), ["joy", ""])
    assert manifest.summary()["unlabelled"] == {"train": 1}


def test_the_encoding_and_the_delimiter_are_settings(table):
    text = f"{HEADER}\nd,0,张三,你好,高兴,\n".replace(",", "^")
    manifest = ingest(table, text.encode("gb18030"), encoding="GBK", delimiter="^")
    assert (manifest.table["speaker"][0], manifest.labels) == ("张三", ("高兴",))
    for wrong in ({"encoding": "klingon"}, {"encoding": "base64"}, {"delimiter": "ab"}, {"delimiter": '"'}):
        with pytest.raises(ValidationError, match="expected"):
            TableSettings(kind="table", path=table, **wrong)
    assert TableSettings(kind="table", path=table, delimiter="tab", encoding="Mac Roman").delimiter == "\t"


def test_words_that_exports_write_for_an_empty_transcript_are_said(table):
    manifest = ingest(table, f"{HEADER}\nd,0,Ann,nan,x,\nd,1,Ann,Nan said so,x,\n")
    assert manifest.table["text"].tolist() == ["nan", "Nan said so"]
    assert manifest.notes == ("1 transcripts are nan and are read as words; empty the cells if there is none",)


def test_a_microphone_a_track_and_a_part_of_the_frame_are_chosen_by_columns(table):
    write_clip(table.parent / "a.mp4")
    header = f"{HEADER},channel,track,region"
    rows = 'a,0,Ann,Hi,calm,a.mp4,4,2,"0.5,0,1,1"\na,1,Ben,Ho,angry,a.mp4,,,\n'
    manifest = ingest(table, f"{header}\n{rows}")
    first, second = manifest.utterances(manifest.table["utterance"].tolist())
    assert (first.audio.channel, first.audio.track, first.visual.region) == (4, 2, (0.5, 0, 1, 1))
    assert (second.audio.channel, second.audio.track, second.visual.region) == (None, None, None)
    plain = ingest(table, f"{HEADER}\na,0,Ann,Hi,calm,a.mp4\na,1,Ben,Ho,angry,a.mp4\n")
    empty = ingest(table, f"{header}\na,0,Ann,Hi,calm,a.mp4,,,\na,1,Ben,Ho,angry,a.mp4,,,\n")
    assert plain.digest == empty.digest != manifest.digest


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("channel", "0", "a channel's number from 1 on"),
        ("track", "left", "a track's number from 1 on"),
        ("region", '"0.5,0,0.4,1"', "left,top,right,bottom"),
        ("region", "half", "left,top,right,bottom"),
    ],
)
def test_what_is_no_track_channel_or_region_is_named(table, column, cell, expected):
    message = refusal(table, f"{HEADER},{column}\na,0,Ann,Hi,calm,a.mp4,{cell}\n")
    assert expected in message
    assert "line 2" in message or "row 1" in message or "row 2" in message
