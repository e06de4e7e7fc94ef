import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import COLUMNS, Manifest
from bigfusion.pipeline.schema import MediaSpan, Skipped, Utterance

SHA = "ab" * 32
ROWS = {
    "utterance": ["train/a_0", "train/a_1", "test/b_0"],
    "split": ["train", "train", "test"],
    "dialogue": ["train/a", "train/a", "test/b"],
    "turn": [0, 1, 0],
    "speaker": ["Ann", "Ben", "Ann"],
    "text": ["Hello — “you”", "", "日本語\n2"],
    "label": ["joy", "", "anger"],
    "audio_path": ["a/0.wav", "a/1.wav", ""],
    "audio_sha256": [SHA, "", ""],
    "visual_path": ["a.avi", "a.avi", "/elsewhere/b.avi"],
    "visual_sha256": [SHA, SHA, SHA],
    "visual_start": [0.0, 1.25, np.nan],
    "visual_end": [1.0, np.nan, np.nan],
    "crop": ["left", "right", ""],
}


def manifest(rows=ROWS, labels=("joy", "anger"), root=Path("/data/corpus"), skipped=(), **over) -> Manifest:
    return Manifest.of("toy", root, labels, {**rows, **over}, skipped)


def test_columns_left_out_are_empty():
    table = manifest().table
    assert tuple(table.columns) == COLUMNS
    assert table["audio_start"].isna().all()
    assert table["turn"].dtype == np.int64


def test_utterances_as_extractors_see_them():
    wav, avi = Path("/data/corpus/a/0.wav"), Path("/data/corpus/a.avi")
    assert manifest().utterances() == [
        Utterance("train/a_0", "Hello — “you”", MediaSpan(wav, SHA), MediaSpan(avi, SHA, 0.0, 1.0, "left")),
        Utterance("train/a_1", "", None, MediaSpan(avi, SHA, 1.25, None, "right")),
        Utterance("test/b_0", "日本語\n2", None, MediaSpan(Path("/elsewhere/b.avi"), SHA)),
    ]
    assert [utterance.id for utterance in manifest().utterances(["test/b_0", "train/a_0"])] == ["test/b_0", "train/a_0"]
    assert manifest().utterances([]) == []
    with pytest.raises(CorpusError, match="no utterance 'train/zzz' in the manifest"):
        manifest().utterances(["train/a_0", "train/zzz"])


def test_which_sound_and_which_part_of_the_frame():
    chosen = manifest(
        track=[2, np.nan, np.nan], channel=[4, np.nan, np.nan], crop=[""] * 3, region=["0.5,0,1,0.75", "", ""]
    )
    first, second, _ = chosen.utterances()
    assert (first.audio.track, first.audio.channel, first.audio.region) == (2, 4, None)
    assert (first.visual.track, first.visual.channel, first.visual.region) == (None, None, (0.5, 0.0, 1.0, 0.75))
    assert second.visual.region is None
    plain = manifest(crop=[""] * 3)
    assert plain.digest != chosen.digest
    assert plain.digest == manifest(crop=[""] * 3, track=[np.nan] * 3, region=[""] * 3).digest


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("track", 0, "a number from 1 on"),
        ("channel", 1.5, "a number from 1 on"),
        ("region", "0,0,1", "shares of the frame"),
        ("region", "0.5,0,0.5,1", "shares of the frame"),
        ("region", "0,0,1.5,1", "shares of the frame"),
        ("region", "0,0,1,1", "a crop or a region, not both"),
    ],
)
def test_what_cannot_be_chosen(column, value, expected):
    empty = "" if column == "region" else np.nan
    with pytest.raises(CorpusError, match=expected):
        manifest(**{column: [value, empty, empty]})


def test_counts_and_summary():
    skipped = (Skipped("train/a_1", "missing_media", "no file"), Skipped("x.csv:3", "broken_row", "short"),
               Skipped("x.csv:4", "broken_row", "short"))  # fmt: skip
    summary = manifest(skipped=skipped).summary(Path("out.parquet"))
    assert summary == {
        "corpus": "toy",
        "digest": manifest().digest,
        "dialogues": {"train": 1, "test": 1},
        "utterances": {"train": 2, "test": 1},
        "labels": {"train": {"joy": 1, "anger": 0}, "test": {"joy": 0, "anger": 1}},
        "unlabelled": {"train": 1},
        "skipped": [dataclasses.asdict(item) for item in skipped[1:]],
        "skipped_counts": {"broken_row": 2},
        "incomplete": [dataclasses.asdict(skipped[0])],
        "incomplete_counts": {"missing_media": 1},
        "notes": [],
        "path": "out.parquet",
    }
    assert json.loads(json.dumps(summary)) == summary
    assert "path" not in manifest().summary()


BAD = {
    "two alike": ({"utterance": ["x", "y", "x"]}, "row 2 (utterance 'x'): expected an id that no other utterance has"),
    "no id": ({"utterance": ["", "y", "x"]}, "row 0 (utterance ''): expected an id without backslashes and empty"),
    "up": ({"utterance": ["a", "../../etc/passwd", "x"]}, "row 1 (utterance '../../etc/passwd'): expected an id"),
    "absolute": ({"utterance": ["a", "/etc", "x"]}, "row 1 (utterance '/etc')"),
    "inner": ({"utterance": ["a", "b/./c", "x"]}, "row 1"),
    "slash": ({"dialogue": ["a/", "a/", "b"]}, "expected an id without backslashes and empty, . or .. parts"),
    "windows": ({"utterance": ["a", "..\\b", "x"]}, "row 1"),
    "NUL": ({"utterance": ["a", "b\0c", "x"]}, "an id without control characters"),
    "line": ({"dialogue": ["a\n", "a\n", "b"]}, "an id without control characters"),
    "separator": ({"speaker": ["a", "a\u2028b", "x"]}, "no control characters, found speaker 'a\\u2028b'"),
    "split": ({"split": ["train", "train", "dev"]}, "expected one of train, valid, test, found split 'dev'"),
    "label": ({"label": ["joy", "", "rage"]}, "row 2 (utterance 'test/b_0'): expected one of joy, anger or none"),
    "crop": ({"crop": ["top", "", ""]}, "expected left, right or none"),
    "sha": ({"audio_sha256": ["abc", "", ""]}, "expected a SHA-256 or none"),
    "negative": ({"audio_start": [-1.0, np.nan, np.nan]}, "expected a start from 0 s on, found audio_start -1.0"),
    "infinite": ({"visual_start": [np.inf, np.nan, np.nan]}, "expected a start from 0 s on"),
    "backwards": ({"visual_end": [0.0, np.nan, np.nan]}, "expected an end after the start, found visual_end 0.0"),
    "before": ({"visual_end": [1.0, 1.25, np.nan]}, "row 1"),
    "endless": ({"visual_end": [np.inf, np.nan, np.nan]}, "expected an end after the start"),
    "gap": ({"turn": [0, 2, 0]}, "row 1 (utterance 'train/a_1'): expected turns 0, 1, 2, ... in each"),
    "late": ({"turn": [1, 2, 0]}, "row 0"),
    "apart": ({"dialogue": ["a", "b", "a"], "turn": [0] * 3, "split": ["train"] * 3}, "a dialogue's rows side by side"),
    "two splits": ({"dialogue": ["a", "a", "b"], "split": ["train", "test", "test"]}, "each dialogue in one split"),
    "null": ({"text": ["a", None, "b"]}, "row 1: expected a value in column text, found none"),
    "number": ({"turn": ["x", 1, 0]}, "column turn: expected int64"),
    "NUL in text": ({"text": ["a\0", "b", "c"]}, "a transcript without NUL"),
}  # fmt: skip


@pytest.mark.parametrize(("over", "message"), BAD.values(), ids=BAD)
def test_a_row_that_breaks_a_rule_is_named(over, message):
    with pytest.raises(CorpusError) as error:
        manifest(**over)
    assert message in str(error.value)
    assert str(error.value).startswith("toy: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["-rf", "--help", "a b", "dia’s", "Ses01F_impro01", "a..b", "..a", "ünï/コード"])
def test_odd_but_harmless_ids_are_fine(name):
    assert len(manifest(utterance=["train/a_0", name, "test/b_0"])) == 3


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a\\b", "a\nb"])
def test_a_corpus_s_name_is_one_word(name):
    with pytest.raises(CorpusError, match="corpus name"):
        Manifest.of(name, Path("/"), ("joy", "anger"), ROWS)


def test_labels_are_distinct():
    with pytest.raises(CorpusError, match="expected each once"):
        manifest(labels=("joy", "anger", "joy"))
    with pytest.raises(CorpusError, match="expected each once"):
        manifest(labels=("joy", "anger", ""))


def test_the_columns_are_the_columns():
    table = manifest().table
    with pytest.raises(CorpusError, match="expected the columns utterance, split"):
        Manifest("toy", Path("/"), ("joy", "anger"), table.drop(columns="crop"))


def test_the_digest_is_of_content_not_of_places():
    first = manifest().digest
    assert manifest(root=Path("/moved"), audio_path=["x", "y", ""], skipped=[Skipped("a", "b", "c")]).digest == first
    changed = [
        {"text": ["Hello — “you”!", "", "日本語\n2"]}, {"speaker": ["Ben", "Ben", "Ann"]}, {"label": ["", "", "anger"]},
        {"audio_sha256": ["cd" * 32, "", ""]}, {"visual_start": [0.1, 1.25, np.nan]}, {"crop": ["", "right", ""]},
        {"visual_end": [np.nan, np.nan, np.nan]}, {"split": ["valid", "valid", "test"]},
        {"utterance": ["train/a_0", "train/a_2", "test/b_0"]}, {"labels": ("anger", "joy")},
    ]  # fmt: skip
    digests = [manifest(**over).digest for over in changed]
    assert len({first, *digests}) == len(changed) + 1


def test_text_does_not_flow_between_cells():
    one = manifest(text=["ab", "c", "x"], speaker=["d", "e", "f"])
    other = manifest(text=["a", "bc", "x"], speaker=["d", "e", "f"])
    assert one.digest != other.digest


def test_the_digest_does_not_depend_on_how_pandas_holds_text():
    table = manifest().table
    objects = table.astype({name: object for name in table.columns if table[name].dtype != float and name != "turn"})
    assert Manifest("toy", Path("/"), ("joy", "anger"), objects).digest == manifest().digest
    sliced = pd.concat([table, table]).iloc[3:].reset_index(drop=True)
    assert Manifest("toy", Path("/"), ("joy", "anger"), sliced).digest == manifest().digest


def test_a_manifest_of_an_earlier_version_is_read_and_has_the_same_digest(tmp_path):
    manifest().write(tmp_path / "m.parquet")
    table = pq.read_table(tmp_path / "m.parquet")
    pq.write_table(table.drop_columns(["fold", "value"]), tmp_path / "older.parquet")
    read = Manifest.read(tmp_path / "older.parquet")
    assert read.digest == manifest().digest
    assert read.table["fold"].tolist() == ["", "", ""]
    assert read.table["value"].isna().all()


def test_folds_and_values_count_in_the_digest_once_they_are_there():
    plain = manifest().digest
    folded = manifest(fold=["x", "x", "y"])
    assert len({plain, folded.digest, manifest(value=[0.5, np.nan, -1.0]).digest}) == 3
    with pytest.raises(CorpusError, match=r"expected each dialogue in one fold, found fold 'y'"):
        manifest(fold=["x", "y", "y"])
    with pytest.raises(CorpusError, match=r"expected a fold in every row, as in others, found fold ''"):
        manifest(fold=["x", "x", ""])
    with pytest.raises(CorpusError, match=r"expected a finite number or none, found value inf"):
        manifest(value=[0.5, np.nan, np.inf])


def test_an_empty_manifest_has_a_digest():
    empty = Manifest.of("toy", Path("/"), ("joy",), {"utterance": []})
    assert len(empty) == 0
    assert len(empty.digest) == 64
    assert empty.counts() == {"dialogues": {}, "utterances": {}, "labels": {}}


def test_written_and_read_again(tmp_path):
    written = manifest(skipped=[Skipped("train/a_1", "missing_media", "no file a/1.wav"), Skipped("ü", "x", "“y”")])
    path = tmp_path / "new" / "manifest.parquet"
    written.write(path)
    read = Manifest.read(path)
    assert (read.corpus, read.root, read.labels, read.skipped) == ("toy", written.root, written.labels, written.skipped)
    pd.testing.assert_frame_equal(read.table, written.table)
    assert read.digest == written.digest
    assert [file.name for file in path.parent.iterdir()] == ["manifest.parquet"]


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\."),
    min_size=1,
    max_size=8,
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
ROW_LISTS = st.lists(st.tuples(WORDS, TEXTS), unique_by=lambda row: row[0], max_size=6)


@settings(max_examples=15, deadline=None)
@given(ROW_LISTS, st.floats(0, 1e6), st.floats(0.01, 1e3))
def test_any_content_survives_the_file(tmp_path_factory, rows, start, length):
    names, texts = [name for name, _ in rows], [text for _, text in rows]
    columns = {
        "utterance": names, "split": ["train"] * len(rows), "dialogue": ["d"] * len(rows), "turn": range(len(rows)),
        "text": texts, "audio_start": [start] * len(rows), "audio_end": [start + length] * len(rows),
    }  # fmt: skip
    written = Manifest.of("toy", Path("/"), (), columns)
    path = tmp_path_factory.mktemp("any") / "m.parquet"
    written.write(path)
    read = Manifest.read(path)
    assert read.digest == written.digest
    assert read.table["text"].tolist() == texts
    assert read.table["audio_start"].tolist() == [start] * len(rows)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "m.parquet"
    manifest().write(path)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        manifest(text=["a", "b", "c"]).write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["m.parquet"]
    assert Manifest.read(path).digest == manifest().digest


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b"dialogue,turn\n", "parquet"])
def test_what_is_no_manifest_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "m.parquet"
    if content == "parquet":
        pq.write_table(pa.table({"utterance": ["a"]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"m.parquet: expected a manifest, found .*; run `bigfusion ingest`") as error:
        Manifest.read(path)
    assert "\n" not in str(error.value)


def test_no_manifest_yet(tmp_path):
    with pytest.raises(CorpusError, match="no such manifest; run `bigfusion ingest`"):
        Manifest.read(tmp_path / "m.parquet")


def test_rows_or_a_header_that_were_tampered_with_are_noticed(tmp_path):
    path = tmp_path / "m.parquet"
    manifest().write(path)
    table = pq.read_table(path)
    texts = pa.array(["Hello", "", "x"], pa.large_string())
    pq.write_table(table.set_column(5, table.schema.field(5), texts), path)
    with pytest.raises(CorpusError, match="rows differ from its digest"):
        Manifest.read(path)
    header = {key: value.replace(b"toy", b"tox") for key, value in table.schema.metadata.items()}
    pq.write_table(table.replace_schema_metadata(header), path)
    with pytest.raises(CorpusError, match="header is damaged"):
        Manifest.read(path)


def test_no_flipped_bit_changes_what_is_read(tmp_path):
    path = tmp_path / "m.parquet"
    written = manifest(skipped=[Skipped("train/a_1", "missing_media", "no file")])
    written.write(path)
    data = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(0).choice(len(data) * 8, 150, replace=False):
        spoilt = bytearray(data)
        spoilt[place // 8] ^= 1 << (place % 8)
        path.write_bytes(spoilt)
        try:
            read = Manifest.read(path)
        except CorpusError:
            refused += 1
            continue
        pd.testing.assert_frame_equal(read.table, written.table)
        assert (read.corpus, read.root, read.labels, read.skipped) == (
            written.corpus, written.root, written.labels, written.skipped,
        )  # fmt: skip
    assert refused > 50
