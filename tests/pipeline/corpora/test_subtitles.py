"""Recordings with transcripts as a corpus: spans of one file, names, what does not belong together."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.corpora.scan import SubtitleSettings, scan
from bigfusion.pipeline.demo import clip
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.media.facts import media_facts, seconds_of_packets
from tests.helpers.tiny_media import write_aac, write_clip

SRT = "1\n00:00:00,200 --> 00:00:00,900\nAnna: Hello.\n\n2\n00:00:01,000 --> 00:00:01,800\nBen: Bye.\n"


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> bytes:
    """Two seconds of grey pictures and a tone."""
    path = tmp_path_factory.mktemp("recording") / "talk.mp4"
    tone = np.sin(np.arange(2 * 16_000) / 20).astype(np.float32)
    clip.write_clip(path, [np.full((32, 48, 3), 90, np.uint8)] * 20, 10, (tone, 16_000))
    return path.read_bytes()


def manifest(folder: Path, *media: str, **more: object) -> Manifest:
    settings = SubtitleSettings(kind="subtitles", media=[folder / name for name in media], **more)
    return scan(settings, FileDigests(folder / "digests.sqlite"))


def place(folder: Path, recording: bytes, name: str = "talk.mp4", transcript: str | None = SRT) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(recording)
    if transcript is not None:
        path.with_suffix(".srt").write_text(transcript)
    return path


def test_each_cue_is_a_span_of_the_recording(tmp_path, recording):
    place(tmp_path, recording)
    table = manifest(tmp_path, "talk.mp4").table
    assert table["utterance"].tolist() == ["talk/0", "talk/1"]
    assert table["speaker"].tolist() == ["Anna", "Ben"]
    assert table["text"].tolist() == ["Hello.", "Bye."]
    assert table["audio_start"].tolist() == table["visual_start"].tolist() == [0.2, 1.0]
    assert table["audio_end"].tolist() == [0.9, 1.8]
    assert set(table["audio_path"]) == set(table["visual_path"]) == {"talk.mp4"}
    assert (table["label"] == "").all()


def test_a_folder_gives_its_recordings_with_transcripts_whose_names_do_not_collide(tmp_path, recording):
    for name in ("a/talk.mp4", "b/talk.mp4"):
        place(tmp_path, recording, name)
    place(tmp_path, recording, "c/without.mp4", None)
    found = manifest(tmp_path, ".")
    assert found.table["dialogue"].unique().tolist() == ["a/talk", "b/talk"]
    assert found.table["split"].nunique() == 2


def test_a_folders_recordings_of_rare_endings_are_read_or_listed(tmp_path, recording):
    for name in ("a.mp4", "a.opus", "b.opus", "c.ape", "d.wma"):
        place(tmp_path, recording, name, None if name == "d.wma" else SRT)
    found = manifest(tmp_path, ".")
    assert set(found.table["audio_path"]) == {"a.mp4", "b.opus"}, "a.opus is the same recording as a.mp4"
    assert [(item.item, item.reason) for item in found.left_out] == [
        ("c.ape", ".ape is not read here: convert it to wav or mp4")
    ]


def test_a_recording_without_a_transcript_is_refused_unless_it_is_taken_whole(tmp_path, recording):
    place(tmp_path, recording, transcript=None)
    with pytest.raises(CorpusError, match=r"talk\.mp4: expected a transcript beside it .*--subtitles"):
        manifest(tmp_path, "talk.mp4")
    table = manifest(tmp_path, "talk.mp4", whole=True).table
    assert table["utterance"].tolist() == ["talk/0"]
    assert math.isnan(table["audio_start"][0])


def test_cues_beyond_the_end_are_left_out_and_said(tmp_path, recording):
    place(
        tmp_path,
        recording,
        transcript=SRT + "\n3\n00:00:01,900 --> 00:00:09,000\nlong\n\n4\n00:01:00,000 --> 00:01:02,000\nx\n",
    )
    found = manifest(tmp_path, "talk.mp4")
    assert found.table["audio_end"].tolist() == [0.9, 1.8, 2.0]
    assert [item.reason for item in found.left_out] == [
        "talk.srt: 1 of 4 cues begins after the end of talk.mp4 (2.0 s); left out"
    ]
    assert "talk.srt: 1 cue ends after the end of talk.mp4 (2.0 s), cut there" in found.notes


def test_a_second_transcript_beside_a_recording_is_said(tmp_path, recording):
    place(tmp_path, recording)
    (tmp_path / "talk.csv").write_text("start,end,speaker,text,label\n0.1,0.5,A,one,joy\n")
    said = "talk.mp4: talk.srt is taken as its transcript, talk.csv not; name another with --subtitles"
    assert [note for note in manifest(tmp_path, "talk.mp4").notes if note.startswith(said)]
    for named in ("talk.csv", "talk.srt"):
        found = manifest(tmp_path, "talk.mp4", transcripts=[tmp_path / named])
        assert not [note for note in found.notes if "is taken" in note]


def test_second_transcripts_beside_many_recordings_are_said_once(tmp_path, recording):
    for name in ("a", "b", "c", "d"):
        place(tmp_path, recording, f"{name}.mp4")
        (tmp_path / f"{name}.{'csv' if name == 'a' else 'vtt'}").write_text("WEBVTT\n")
    (tmp_path / "d.vtt").unlink()
    assert [note for note in manifest(tmp_path, ".").notes if "is taken" in note] == [
        f"{first} is taken as its transcript, {other} not; name another with --subtitles (corpus.transcripts)"
        for first, other in (("a.mp4: a.srt", "a.csv"), ("b.mp4 (and 1 like it): b.srt", "b.vtt"))
    ]


@pytest.mark.parametrize("transcripts", [("talk.srt",), ("talk.opus.srt",)])
def test_a_recording_in_two_rare_files_counts_once(tmp_path, recording, transcripts):
    for name in ("talk.aac", "talk.opus", "talk.ape"):
        place(tmp_path, recording, name, None)
    for name in transcripts:
        (tmp_path / name).write_text(SRT)
    found = manifest(tmp_path, ".")
    assert found.table["utterance"].tolist() == ["talk/0", "talk/1"]
    assert set(found.table["audio_path"]) == {"talk.opus" if "talk.opus.srt" in transcripts else "talk.aac"}
    assert not found.left_out


def test_the_padding_of_an_mp3_is_no_sound(tmp_path):
    path = write_clip(tmp_path / "talk.mp3", 2.5, codecs=("mp3",))
    path.with_suffix(".srt").write_text("1\n00:00:00,100 --> 00:00:03,000\none\n")
    assert manifest(tmp_path, "talk.mp3").table["audio_end"].tolist() == [media_facts(path).seconds]
    assert seconds_of_packets(path) > media_facts(path).seconds


def test_a_guessed_length_cuts_no_cue(tmp_path):
    write_aac(tmp_path / "talk.aac")
    (tmp_path / "talk.srt").write_text(
        "1\n00:00:01,000 --> 00:00:02,000\none\n\n2\n00:00:05,000 --> 00:00:08,000\ntwo\n\n"
        "3\n00:00:08,000 --> 00:00:09,500\nthree\n"
    )
    found = manifest(tmp_path, "talk.aac")
    assert found.table["audio_end"].tolist() == [2.0, 8.0, 9.5]
    assert not found.left_out
    assert re.fullmatch(
        r"talk.aac: its header says \d\.\d s, and it lasts 10\.\d s; what begins beyond the header's length is not"
        r" decoded: replace the file \(ffmpeg -i talk.aac -c copy talk.mka\)",
        found.notes[-1],
    )


def test_the_transcript_of_another_recording_is_refused(tmp_path, recording):
    place(tmp_path, recording, transcript=SRT.replace("00:00:0", "00:09:0"))
    with pytest.raises(CorpusError, match=r"2 of 2 cues begin after the end .* check that they belong together"):
        manifest(tmp_path, "talk.mp4")


def test_a_recording_without_sound_or_pictures_has_cells_for_what_it_has(tmp_path, recording):
    path = tmp_path / "talk.mp4"
    clip.write_clip(path, [np.full((32, 48, 3), 90, np.uint8)] * 20, 10, None)
    path.with_suffix(".srt").write_text(SRT)
    table = manifest(tmp_path, "talk.mp4").table
    assert set(table["audio_sha256"]) == {""}
    assert set(table["visual_path"]) == {"talk.mp4"}


def test_a_file_that_is_no_recording_is_one_line(tmp_path):
    (tmp_path / "talk.mp4").write_text("no video")
    (tmp_path / "talk.srt").write_text(SRT)
    with pytest.raises(CorpusError, match=r"talk\.mp4: expected a video or a sound file, found"):
        manifest(tmp_path, "talk.mp4")
    with pytest.raises(CorpusError, match=r"none\.mp4: expected a video or a sound file, found"):
        manifest(tmp_path, "none.mp4")


def test_rttm_names_the_speakers_of_the_cues(tmp_path, recording):
    place(tmp_path, recording, transcript=SRT.replace("Anna: ", "").replace("Ben: ", ""))
    assert "no cue names a speaker" in " ".join(manifest(tmp_path, "talk.mp4").notes)
    (tmp_path / "talk.rttm").write_text(
        "SPEAKER talk 1 0.0 0.95 <NA> <NA> one <NA> <NA>\nSPEAKER talk 1 0.95 1 <NA> <NA> two <NA> <NA>\n"
    )
    assert manifest(tmp_path, "talk.mp4", speakers=[tmp_path / "talk.rttm"]).table["speaker"].tolist() == ["one", "two"]


def test_labels_of_a_transcript_are_classes_and_unanswered_ones_are_none(tmp_path, recording):
    place(tmp_path, recording, transcript=None)
    (tmp_path / "talk.csv").write_text(
        "start,end,speaker,text,label\n0.1,0.5,A,one,joy\n0.5,1,B,two,not sure\n1,1.5,A,three,anger\n"
    )
    found = manifest(tmp_path, "talk.mp4")
    assert found.labels == ("anger", "joy")
    assert found.table["label"].tolist() == ["joy", "", "anger"]
    with pytest.raises(CorpusError, match=r"expected labels among joy, fear \(corpus\.labels\), found anger"):
        manifest(tmp_path, "talk.mp4", labels=["joy", "fear"])


def test_as_many_transcripts_as_recordings(tmp_path, recording):
    path = place(tmp_path, recording)
    with pytest.raises(CorpusError, match="expected one transcript a recording, found 2 for 1"):
        manifest(tmp_path, "talk.mp4", transcripts=[path.with_suffix(".srt")] * 2)
    with pytest.raises(CorpusError, match="expected each recording once, found it twice"):
        manifest(tmp_path, "talk.mp4", "talk.mp4")


def spoken(folder: Path, recording: bytes, *names: str) -> list[Path]:
    """A transcript in the folder ``written`` for each name, of the words "I am NAME"."""
    place(folder, recording, "written/none", None)
    paths = [folder / "written" / f"{name}.srt" for name in names]
    for path in paths:
        path.write_text(f"1\n00:00:00,200 --> 00:00:00,900\nI am {path.stem}.\n")
    return paths


@pytest.mark.parametrize("end", ["", "_english"])
@pytest.mark.parametrize("names", [("Anna", "ben", "Carl"), ("talk1", "talk2", "talk10")])
def test_transcripts_of_a_folders_recordings_are_paired_by_name_in_whatever_order(tmp_path, recording, names, end):
    for name in names:
        place(tmp_path, recording, f"media/{name}.mp4", None)
    paths = spoken(tmp_path, recording, *(f"{name}{end}" for name in names))
    found = manifest(tmp_path, "media", transcripts=paths)
    said = dict(zip(found.table["dialogue"], found.table["text"], strict=True))
    assert said == {name: f"I am {name}{end}." for name in names}
    assert not [note for note in found.notes if "order" in note]


def test_a_pair_that_only_the_order_makes_is_said_if_nobody_wrote_the_order(tmp_path, recording):
    media = [place(tmp_path, recording, f"media/{name}.mp4", None) for name in ("ben", "Carl")]
    paths = spoken(tmp_path, recording, "ben", "corrected")
    notes = [note for note in manifest(tmp_path, "media", transcripts=paths).notes if "order" in note]
    assert notes[0].startswith("Carl.mp4: ben.srt is taken as its transcript because of their order alone; check that")
    assert notes[1].startswith("ben.mp4: corrected.srt is taken as its transcript")
    written = manifest(tmp_path, *map(str, media), transcripts=paths)
    assert written.table["text"].tolist() == ["I am ben.", "I am corrected."]
    assert not [note for note in written.notes if "order" in note]


def test_turns_are_paired_by_name_and_those_of_another_recording_are_said(tmp_path, recording):
    for name in ("ben", "Carl"):
        place(tmp_path, recording, f"{name}.mp4", SRT.replace("Anna: ", "").replace("Ben: ", ""))
    turns = [tmp_path / f"{name}.rttm" for name in ("ben", "Carl")]
    for path in turns:
        path.write_text(f"SPEAKER waveform 1 0.0 2.0 <NA> <NA> {path.stem} <NA> <NA>\n")
    found = manifest(tmp_path, ".", speakers=turns)
    assert found.table["speaker"].tolist() == ["Carl", "Carl", "ben", "ben"]
    assert not [note for note in found.notes if "turns" in note]
    turns[0].write_text(turns[0].read_text().replace("waveform", "Carl"))
    assert [note for note in manifest(tmp_path, ".", speakers=turns).notes if "turns" in note] == [
        "ben.rttm: its turns are those of Carl, and are taken as those of ben.mp4; check that they belong together"
    ]
    with pytest.raises(CorpusError, match=r"ben\.rttm: expected turns of ben, found Carl; give its own file"):
        manifest(tmp_path, ".", speakers=turns[:1])


def test_elans_offset_of_the_recording_counts(tmp_path, recording):
    from pympi.Elan import Eaf

    place(tmp_path, recording, transcript=None)
    file = Eaf()
    for name, origin in (("talk.mp4", 500), ("other.mp4", 0)):
        file.add_linked_file(f"file:///home/{name}", time_origin=origin)
    file.add_tier("Anna")
    file.add_annotation("Anna", 100, 900, "Hello.")
    file.to_file(str(tmp_path / "talk.eaf"))
    table = manifest(tmp_path, "talk.mp4").table
    assert (table["audio_start"].tolist(), table["audio_end"].tolist()) == ([0.6], [1.4])
