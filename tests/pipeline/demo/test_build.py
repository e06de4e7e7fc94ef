from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.demo.build import COLUMNS, TABLES, Built, _clock, build, clip_name
from bigfusion.pipeline.demo.script import EXPECTED, lines
from bigfusion.pipeline.demo.stamp import STAMP
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Split, Status

CLIPS = {line.id: clip_name(line) for line in lines()}
MIB = 2**20


@pytest.fixture(scope="module")
def corpus(demo_corpus: Built) -> Built:
    return demo_corpus


@pytest.fixture(scope="module")
def one_each(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dialogue of each split. Tests only read it."""
    return build(tmp_path_factory.mktemp("small"), dialogues=1).folder


@pytest.fixture
def copy(corpus: Built, tmp_path: Path) -> Path:
    """The same, for tests that spoil it."""
    return shutil.copytree(corpus.folder, tmp_path / "demo")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path, split: Split) -> list[dict[str, str]]:
    with (folder / TABLES[split]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_layout_is_that_of_meld(corpus: Built) -> None:
    played = lines(dialogues=2)
    present = {CLIPS[line.id] for line in played if EXPECTED.get(line.id) != Status.MISSING_MEDIA}
    assert set(contents(corpus.folder)) == present | set(TABLES.values()) | {STAMP}
    assert corpus.utterances == len(played)
    assert corpus.made == len(present) + 3
    assert corpus.expected == EXPECTED
    assert CLIPS["train/dia0_utt0"] == "train_splits/dia0_utt0.mp4"
    assert CLIPS["valid/dia1_utt2"] == "dev_splits_complete/dia1_utt2.mp4"
    assert CLIPS["test/dia5_utt0"] == "output_repeated_splits_test/dia5_utt0.mp4"


def test_tables_are_those_of_meld(corpus: Built) -> None:
    for split in Split:
        table = rows(corpus.folder, split)
        played = [line for line in lines(dialogues=2) if line.split is split]
        assert tuple(table[0]) == COLUMNS
        assert [row["Sr No."] for row in table] == [str(number) for number in range(1, len(played) + 1)]
        for row, line in zip(table, played, strict=True):
            assert (row["Utterance"], row["Speaker"], row["Emotion"]) == (line.words, line.speaker, line.emotion)
            assert (row["Dialogue_ID"], row["Utterance_ID"]) == (str(line.dialogue), str(line.utterance))
            assert row["Sentiment"] in {"neutral", "positive", "negative"}
            assert row["StartTime"] < row["EndTime"]
    first = rows(corpus.folder, Split.TRAIN)[0]
    assert (first["Season"], first["Episode"], first["StartTime"]) == ("1", "1", "00:01:00,000")


@pytest.mark.parametrize(
    ("seconds", "clock"), [(976.059, "00:16:16,059"), (59.9996, "00:01:00,000"), (3661.5, "01:01:01,500")]
)
def test_times_are_written_as_in_meld(seconds: float, clock: str) -> None:
    assert _clock(seconds) == clock


def sound_and_pictures(path: Path) -> tuple[np.ndarray | None, int]:
    """All channels (C, S) or ``None``, and the number of pictures."""
    with av.open(str(path)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, pictures
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1), pictures


def test_every_clip_is_good_or_spoilt_as_expected(corpus: Built) -> None:
    for line in lines(dialogues=2):
        path, status = corpus.folder / CLIPS[line.id], EXPECTED.get(line.id)
        if status is Status.MISSING_MEDIA:
            assert not path.exists()
        elif status is Status.CORRUPT_MEDIA:
            with pytest.raises(av.InvalidDataError):
                av.open(str(path))
        else:
            sound, pictures = sound_and_pictures(path)
            assert pictures > 18
            assert (sound is None) == (status is Status.NO_AUDIO)
            assert sound is None or sound.any() == (status is not Status.SILENT)


def test_clips_are_of_several_sound_formats_and_small(corpus: Built) -> None:
    formats: Counter[tuple[int, str]] = Counter()
    sizes = []
    for line in lines(dialogues=2):
        if EXPECTED.get(line.id) not in {Status.MISSING_MEDIA, Status.CORRUPT_MEDIA, Status.NO_AUDIO}:
            path = corpus.folder / CLIPS[line.id]
            sizes.append(path.stat().st_size)
            with av.open(str(path)) as container:
                stream = container.streams.audio[0]
                formats[stream.codec_context.sample_rate, stream.layout.name] += 1
    assert set(formats) >= {(48_000, "mono"), (44_100, "stereo")}
    assert np.mean(sizes) * len(lines()) < 12 * MIB  # the whole corpus's limit


def test_a_complete_corpus_is_left_alone(copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    heard: list[int] = []
    again = build(copy, lambda done, total: heard.append(done), dialogues=2)
    assert (again.made, heard) == (0, [])
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


@pytest.mark.slow
def test_an_interrupted_build_goes_on(tmp_path: Path, one_each: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    folder = tmp_path / "interrupted"
    with pytest.raises(KeyboardInterrupt):
        build(folder, interrupt, dialogues=1)
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    total = len(list(one_each.rglob("*.mp4")))
    assert 5 <= len(kept) < total
    assert not list(folder.glob("*.csv"))

    heard: list[tuple[int, int]] = []
    left = total - len(kept)
    assert build(folder, lambda done, of: heard.append((done, of)), dialogues=1).made == left + 3
    assert heard == [(number, left) for number in range(1, left + 1)]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(folder) == contents(one_each)


def test_lost_files_come_back_with_the_same_bytes_and_the_rest_stays(copy: Path) -> None:
    """Clips of each split and both dialogues, and a table."""
    before = contents(copy)
    lost = [*sorted(copy.rglob("*.mp4"))[::11], copy / TABLES[Split.VALID]]
    for path in lost:
        path.unlink()
    table = copy / TABLES[Split.TEST]
    table.write_text(table.read_text().replace("director", "conductor"))  # a user tries what a rerun does
    assert build(copy, dialogues=2).made == len(lost)
    after = contents(copy)
    assert after.pop(TABLES[Split.TEST]) == before.pop(TABLES[Split.TEST]).replace(b"director", b"conductor")
    assert after == before


@pytest.mark.slow
def test_another_recipe_replaces_its_own_files_only(corpus: Built, tmp_path: Path) -> None:
    folder = shutil.copytree(corpus.folder, tmp_path / "demo")
    (folder / "notes.txt").write_text("mine")
    (folder / "train_splits" / "dia7_utt0.mp4").write_bytes(b"mine too")
    build(folder, dialogues=1)
    reference = {line.id for line in lines(dialogues=1)}
    names = {CLIPS[name] for name in reference if EXPECTED.get(name) != Status.MISSING_MEDIA}
    larger, smaller = contents(corpus.folder), contents(folder)
    assert all(smaller[name] == larger[name] for name in names)
    assert all(larger[name].startswith(smaller[name]) for name in TABLES.values())
    assert set(smaller) == names | set(TABLES.values()) | {*(STAMP, "notes.txt", "train_splits/dia7_utt0.mp4")}


def test_another_recipe_never_replaces_a_changed_file(copy: Path) -> None:
    table = copy / TABLES[Split.TRAIN]
    table.write_text(table.read_text().replace("flat", "house"))
    before = contents(copy)
    with pytest.raises(CorpusError, match=r"train_sent_emo\.csv: expected the file that an earlier demo wrote"):
        build(copy, dialogues=1)
    assert contents(copy) == before


@pytest.mark.parametrize(
    "stamp",
    [
        None,
        "not JSON",
        '{"recipe": "x"}',
        json.dumps({"recipe": "x", "files": {"../thesis.txt": None}}),
        json.dumps({"recipe": "x", "files": {"/thesis.txt": None}}),
        json.dumps({"recipe": "x", "files": {"train_splits/../thesis.txt": None}}),
    ],
)
def test_a_folder_of_something_else_is_refused_and_kept(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    if stamp is not None:
        (folder / STAMP).write_text(stamp)
    before = contents(tmp_path)
    with pytest.raises(CorpusError, match="name a new or empty folder") as caught:
        build(folder, dialogues=1)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "demo"):
        with pytest.raises(CorpusError, match="name a"):
            build(place, dialogues=1)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(copy: Path) -> None:
    clip = copy / CLIPS["test/dia0_utt1"]
    clip.unlink()
    clip.mkdir()
    with pytest.raises(CorpusError, match="cannot write the demo corpus there") as caught:
        build(copy, dialogues=2)
    assert "\n" not in str(caught.value)
