"""What a manifest was made from: which settings and files count, of every kind of corpus, and that places do not."""

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from bigfusion.pipeline.corpora.scan import CorpusSettings
from bigfusion.pipeline.corpora.source import UNKNOWN, Source, source_of
from bigfusion.pipeline.digests.files import FileDigests
from tests.helpers.spoken_tree import empty_files

PARTS = {"train": "train", "validation": "validation", "test": "test"}
DAILY = [f"{part}/dialogues_{kind}{part}.txt" for part in PARTS for kind in ("", "emotion_")]
LISTS = [f"splitInfo/movie_list_{part}.txt" for part in ("train", "val", "test")]
FILES = {
    "meld": ["train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"],
    "iemocap": [f"Session{n}/dialog/EmoEvaluation/Ses0{n}F_impro01.txt" for n in (1, 5)],
    "emorynlp": [f"json/emotion-detection-{part}.json" for part in ("trn", "dev", "tst")],
    "dailydialog": DAILY,
    "m3ed": ["annotation.json", *LISTS],
    "mosei": ["label.csv"],
    "mosi": ["label.csv"],
    "ch_sims": ["label.csv"],
    "table": ["corpus/t.csv"],
    "subtitles": ["talk.wav", "talk.srt"],
}
"""Where labels and splits lie. The last file of each is changed."""
NAMES = {
    "emodb": ("wav/03a01Wa.wav", "wav/03a01Fa.wav"),
    "ravdess": ("Actor_01/03-01-03-01-01-01-01.wav", "Actor_01/03-01-04-01-01-01-01.wav"),
    "crema_d": ("AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1001_DFA_HAP_XX.wav"),
    "filenames": ("ann/1_joy.wav", "ann/1_sad.wav"),
}
"""A file whose name says its label, and the same with another label."""


def source(kind: str, root: Path, **more: Any) -> Source:
    place = {"table": {"path": root / "corpus/t.csv"}, "subtitles": {"media": (root,)}}.get(kind, {"root": root})
    pattern = {"pattern": r"(?P<speaker>.+)/\d_(?P<label>.+)"} if kind == "filenames" else {}
    settings = TypeAdapter(CorpusSettings).validate_python({"kind": kind, **place, **pattern, **more})
    return source_of(settings, FileDigests())


def test_every_kind_of_corpus_is_tried_here():
    kinds = {
        name for one in get_args(get_args(CorpusSettings)[0]) for name in get_args(one.model_fields["kind"].annotation)
    }
    assert kinds - {"features"} == {*FILES, *NAMES}, "the cells of a feature file depend on the whole file"


@pytest.mark.parametrize("kind", FILES)
def test_a_changed_label_file_is_another_source_and_a_moved_corpus_is_not(tmp_path, kind):
    root = empty_files(tmp_path / "here", *FILES[kind])
    before = source(kind, root)
    assert all(before)
    shutil.copytree(root, tmp_path / "there")
    assert source(kind, tmp_path / "there") == before
    (root / FILES[kind][-1]).write_text("other labels")
    after = source(kind, root)
    assert after.settings == before.settings
    assert after.differs(before)


@pytest.mark.parametrize("kind", NAMES)
def test_a_label_in_a_file_s_name_is_part_of_the_source(tmp_path, kind):
    old, new = NAMES[kind]
    before = source(kind, empty_files(tmp_path / "here", old))
    assert source(kind, empty_files(tmp_path / "there", old)) == before
    assert source(kind, empty_files(tmp_path / "other", new)).differs(before)


def test_settings_count_and_what_is_not_known_differs_from_nothing(tmp_path):
    root = empty_files(tmp_path / "here", *FILES["meld"])
    before = source("meld", root)
    assert source("meld", root, label_map={"joy": "anger"}).differs(before)
    assert source("meld", tmp_path / "gone") == (before.settings, "")
    assert not source("meld", tmp_path / "gone").differs(before)
    assert not before.differs(UNKNOWN)
