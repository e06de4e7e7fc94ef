from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

from bigfusion.pipeline.demo.script import CAST
from bigfusion.pipeline.demo.speech import DELIVERIES, LEAD, Samples, speak
from bigfusion.pipeline.errors import CorpusError

SENTENCES = (
    "The parcel is standing behind the kitchen door.",
    "We are going to meet them at the river on Monday.",
    "Nobody told me that the lesson had been moved.",
)


@cache
def said(emotion: str, voices: tuple[str, ...] = ("en-us+f1", "en-us+m1", "en-us+m4")) -> list[tuple[Samples, int]]:
    return [speak(sentence, voice, emotion) for sentence in SENTENCES for voice in voices]


def level(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples))))


def median_pitch(samples: Samples, rate: int) -> float:
    """Hz: the strongest autocorrelation between 60 and 400 Hz, median over voiced stretches of 40 ms."""
    size = int(0.04 * rate)
    pitches = []
    for start in range(0, len(samples) - size, size):
        frame = samples[start : start + size] - samples[start : start + size].mean()
        correlation = np.correlate(frame, frame, "full")[size - 1 :]
        lag = rate // 400 + int(np.argmax(correlation[rate // 400 : rate // 60]))
        if correlation[lag] > 0.5 * correlation[0] > 1e-3:
            pitches.append(rate / lag)
    return float(np.median(pitches))


def test_a_sentence_sounds_the_same_whatever_was_said_before() -> None:
    first, rate = speak(SENTENCES[0], "en-us+f3", "joy")
    for other in ("Hm.", "Well, what do you think about it, then?"):
        speak(other, "en-gb-scotland+m7", "anger")
        again, _ = speak(SENTENCES[0], "en-us+f3", "joy")
        np.testing.assert_array_equal(again, first)
    assert rate == 22050


def test_threads_do_not_disturb_each_other() -> None:
    alone = [speak(sentence, "en-us+m3", "fear")[0] for sentence in SENTENCES]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda sentence: speak(sentence, "en-us+m3", "fear")[0], SENTENCES * 3))
    for one, other in zip(alone * 3, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_samples_are_speech_of_seconds_and_never_clip() -> None:
    for emotion in DELIVERIES:
        for samples, rate in said(emotion, ("en-gb-x-rp+f3",)):
            assert samples.dtype == np.float32
            assert np.abs(samples).max() < 1
            assert 1.5 <= len(samples) / rate <= 5
            words = samples[int(LEAD * rate) : -int(0.2 * rate)]
            assert level(words) > level(samples[: int(0.9 * LEAD * rate)]) + 20  # far above the room tone
            assert np.count_nonzero(samples) > 0.99 * len(samples)  # which is everywhere


def test_a_short_word_lasts_long_enough_for_the_extractors() -> None:
    samples, rate = speak("Yes.", "en-us+m1", "neutral")
    assert len(samples) / rate == pytest.approx(1.6, abs=0.01)


def test_emotions_differ_as_in_acted_speech() -> None:
    seconds = {emotion: np.mean([len(s) / r for s, r in said(emotion)]) for emotion in DELIVERIES}
    levels = {emotion: np.mean([level(s) for s, _ in said(emotion)]) for emotion in DELIVERIES}
    pitches = {emotion: np.mean([median_pitch(s, r) for s, r in said(emotion)]) for emotion in ("joy", "sadness")}
    assert max(seconds, key=seconds.__getitem__) == "sadness"
    assert min(seconds, key=seconds.__getitem__) in {"anger", "fear"}
    assert max(levels, key=levels.__getitem__) == "anger"
    assert min(levels, key=levels.__getitem__) == "sadness"
    assert pitches["joy"] > 1.1 * pitches["sadness"]


def test_one_emotion_is_not_always_shown_alike() -> None:
    levels = [level(samples) for samples, _ in said("anger")]
    assert np.std(levels) > 0.3


@pytest.mark.parametrize("voice", sorted(character.voice for character in CAST.values()))
def test_every_voice_of_the_cast_speaks(voice: str) -> None:
    samples, rate = speak(SENTENCES[0], voice, "neutral")
    assert 1.5 <= len(samples) / rate <= 5


@pytest.mark.parametrize("voice", ["en-us+nobody", "xx-nowhere+f1"])
def test_an_unknown_voice_is_named(voice: str) -> None:
    with pytest.raises(CorpusError, match=f"voice '{re.escape(voice)}'"):
        speak("Hello there.", voice, "neutral")


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)  # what an import finds where nothing is installed
    with pytest.raises(CorpusError, match=r"espeakng_loader.*pip install -e '\.\[demo\]'") as caught:
        speak("Hello there.", "en-us+f1", "neutral")
    assert "\n" not in str(caught.value)
