"""openSMILE functionals: the engine's own numbers, names kept, and every trap that was met a typed row."""

import threading
from pathlib import Path

import numpy as np
import opensmile
import pytest

from bigfusion.extractors.audio.opensmile import RATE, AudioExtractor, AudioSettings
from bigfusion.extractors.base import Failure, Fault, Feature
from bigfusion.pipeline.demo.speech import speak
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import MediaSpan, Modality, Status, Utterance
from tests.helpers.clip_maker import levels, sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, needs_field


def utterance(path: Path, start: float | None = None, end: float | None = None) -> Utterance:
    return Utterance(path.stem, "", audio=span(path, start, end))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three sentences in mp4, as MELD has them."""
    folder = tmp_path_factory.mktemp("speech")
    paths = []
    for number, (text, emotion) in enumerate(
        [
            ("What a wonderful surprise!", "joy"),
            ("I cannot do this any more.", "sadness"),
            ("Leave me alone, now!", "anger"),
        ]
    ):
        samples, rate = speak(text, "en-us+f3", emotion)
        paths.append(
            write_clip(folder / f"{number}.mp4", levels(3), np.stack([samples] * 2), rate=rate, layout="stereo")
        )
    return paths


@pytest.mark.parametrize(("name", "width"), [("IS10", 1582), ("IS13", 6373), ("emobase", 988), ("eGeMAPSv02", 88)])
def test_the_sets_have_their_columns_and_finite_numbers(speech: list[Path], name: str, width: int) -> None:
    extractor = AudioExtractor(AudioSettings(feature_set=name, threads=1))  # type: ignore[arg-type]
    (outcome,) = extractor.extract([utterance(speech[0])])
    assert isinstance(outcome, Feature)
    assert outcome.vector.shape == (width,)
    assert outcome.vector.dtype == np.float32
    assert np.isfinite(outcome.vector).all()
    assert len(extractor.columns) == len(set(extractor.columns)) == width


def test_the_numbers_are_the_engines_own(speech: list[Path]) -> None:
    """Against openSMILE reading a 16 kHz mono wav file of the same samples by itself, the field's usual way."""
    extractor = AudioExtractor(AudioSettings())
    (outcome,) = extractor.extract([utterance(speech[0])])
    samples = read_audio(span(speech[0]))
    wav = write_clip(speech[0].with_suffix(".wav"), sound=samples[None], audio="pcm_s16le")
    table = opensmile.Smile(opensmile.FeatureSet.IS10, opensmile.FeatureLevel.Functionals).process_file(str(wav))
    assert isinstance(outcome, Feature)
    assert list(table.columns) == extractor.columns
    close = np.isclose(outcome.vector, table.to_numpy()[0], rtol=0.02, atol=0.02)
    assert close.mean() > 0.97  # the file's samples are rounded to 16 bit, ours cut


def test_threads_change_nothing_and_each_has_its_own_engine(speech: list[Path]) -> None:
    utterances = [utterance(path) for path in speech] * 3
    one, many = (AudioExtractor(AudioSettings(threads=threads)) for threads in (1, 4))
    done: list[int] = []
    slow, fast = one.extract(utterances), many.extract(utterances, done.append)
    assert sum(done) == len(utterances)
    for left, right in zip(slow, fast, strict=True):
        assert isinstance(left, Feature)
        assert isinstance(right, Feature)
        np.testing.assert_array_equal(left.vector, right.vector)
    engines: set[int] = set()
    barrier = threading.Barrier(3)

    def collect() -> None:
        engines.add(id(many._engine()))
        barrier.wait()

    threads = [threading.Thread(target=collect) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(engines) == 3


def test_a_span_of_a_longer_file(tmp_path: Path, speech: list[Path]) -> None:
    sounds = [read_audio(span(path)) for path in speech]
    whole = write_clip(tmp_path / "all.wav", sound=np.concatenate(sounds)[None], audio="pcm_f32le")
    begin, end = len(sounds[0]) / RATE, (len(sounds[0]) + len(sounds[1])) / RATE
    alone, cut = AudioExtractor(AudioSettings()).extract([utterance(speech[1]), utterance(whole, begin, end)])
    assert isinstance(alone, Feature)
    assert isinstance(cut, Feature)
    np.testing.assert_array_equal(alone.vector, cut.vector)


def test_full_scale_does_not_wrap_round(tmp_path: Path) -> None:
    """A sine that just reaches +1.0 must look like one that stays below: its loudest sample, not its sign, matters."""
    loud = sine(1, RATE, 200, 1.0)
    loud[np.argmax(loud)] = 1.0
    vectors = []
    for name, sound in (("loud", loud), ("soft", loud * 0.999)):
        path = write_clip(tmp_path / f"{name}.wav", sound=sound[None], audio="pcm_f32le")
        (outcome,) = AudioExtractor(AudioSettings(feature_set="eGeMAPSv02")).extract([utterance(path)])
        assert isinstance(outcome, Feature)
        vectors.append(outcome.vector)
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=0.05, atol=0.5)


def test_a_voice_on_the_second_channel_is_heard(tmp_path: Path) -> None:
    samples, rate = speak("Can you hear me?", "en-us+m3", "neutral")
    paths = [
        write_clip(tmp_path / f"{name}.wav", sound=np.stack(sound), rate=rate, layout="stereo", audio="pcm_f32le")
        for name, sound in {"left": (samples, 0 * samples), "right": (0 * samples, samples)}.items()
    ]
    left, right = AudioExtractor(AudioSettings()).extract([utterance(path) for path in paths])
    assert isinstance(left, Feature)
    assert isinstance(right, Feature)
    np.testing.assert_array_equal(left.vector, right.vector)


def test_what_cannot_be_heard_is_a_typed_row_in_its_place(tmp_path: Path, speech: list[Path]) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(speech[0].read_bytes()[:2000])
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 1120)).astype(np.float32)
    utterances = [
        utterance(cut),
        utterance(speech[0]),
        utterance(write_clip(tmp_path / "mute.mp4", levels(3))),
        utterance(write_clip(tmp_path / "still.mp4", levels(3), np.zeros((1, 8000)))),
        utterance(write_clip(tmp_path / "tiny.wav", sound=noise[:, :1100], audio="pcm_f32le")),
        utterance(write_clip(tmp_path / "long.wav", sound=sine(3, RATE)[None], audio="pcm_s16le")),
        Utterance("none", ""),
        utterance(write_clip(tmp_path / "least.wav", sound=noise, audio="pcm_f32le")),
    ]
    (slow,) = AudioExtractor(AudioSettings(timeout_seconds=1e-5)).extract(utterances[1:2])
    assert isinstance(slow, Failure)
    assert "raise audio.timeout_seconds" in slow.reason
    outcomes = AudioExtractor(AudioSettings(limit_seconds=2.9)).extract(utterances)
    statuses = [outcome.status if isinstance(outcome, Failure) else Status.OK for outcome in outcomes]
    assert statuses == [
        Status.CORRUPT_MEDIA,
        Status.OK,
        Status.NO_AUDIO,
        Status.SILENT,
        Status.TOO_SHORT,
        Status.OVERLONG,
        Status.MISSING_MEDIA,
        Status.OK,  # 70 ms: one frame of IS10
    ]
    assert all("expected" in outcome.reason for outcome in outcomes if isinstance(outcome, Failure))


@pytest.mark.parametrize("name", ["IS10", "IS13", "emobase", "eGeMAPSv02"])
@pytest.mark.parametrize("sound", ["noise", "one click", "tone above speech", "square wave", "half silence"])
def test_no_set_gives_undefined_numbers(tmp_path: Path, name: str, sound: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    samples = {
        "noise": noise,
        "one click": 0.5 * np.eye(1, RATE, 8000)[0],
        "tone above speech": sine(1, RATE, 5000),
        "square wave": 0.9 * np.sign(sine(1, RATE, 100)),
        "half silence": np.where(np.arange(RATE) < 8000, 0, noise),
    }[sound].astype(np.float32)
    path = write_clip(tmp_path / "a.wav", sound=samples[None], audio="pcm_f32le")
    (outcome,) = AudioExtractor(AudioSettings(feature_set=name)).extract([utterance(path)])  # type: ignore[arg-type]
    assert isinstance(outcome, Feature)
    assert np.isfinite(outcome.vector).all()


def test_a_file_that_vanished_after_ingest_is_not_stored(tmp_path: Path, speech: list[Path]) -> None:
    """Stored as missing_media under the file's digest, it would stay missing when the disk is mounted again."""
    gone = Utterance("gone", "", audio=MediaSpan(tmp_path / "gone.wav", "0" * 64))
    never = Utterance("never", "", audio=MediaSpan(tmp_path / "never.wav", ""))
    there, fault = AudioExtractor(AudioSettings()).extract([utterance(speech[0]), gone])
    assert isinstance(there, Feature)
    assert isinstance(fault, Fault)
    assert "gone.wav" in fault.reason
    (outcome,) = AudioExtractor(AudioSettings()).extract([never])
    assert isinstance(outcome, Failure)
    assert outcome.status == Status.MISSING_MEDIA


def test_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = AudioExtractor(AudioSettings(threads=7, timeout_seconds=600)).spec
    assert spec.modality is Modality.AUDIO
    assert spec.name == "opensmile"
    assert spec.settings == {}
    assert AudioExtractor(AudioSettings(silence_rms=1e-3)).spec.settings == {"silence_rms": 1e-3}
    assert spec.engine == {"opensmile": opensmile.__version__}
    assert spec == AudioExtractor(AudioSettings(threads=1)).spec
    assert spec != AudioExtractor(AudioSettings(feature_set="IS13")).spec


def test_nothing_is_printed(speech: list[Path], capfd: pytest.CaptureFixture[str]) -> None:
    AudioExtractor(AudioSettings()).extract([utterance(speech[0])])
    assert capfd.readouterr() == ("", "")


@needs_field
def test_numbers_of_a_sound_card_in_a_float_file_give_the_same_features_and_a_note() -> None:
    say, scaled = (utterance(FIELD / name) for name in ("say.wav", "w1_float_with_int_numbers.wav"))
    plain, noted = AudioExtractor(AudioSettings(threads=1)).extract([say, scaled])
    np.testing.assert_array_equal(noted.vector, plain.vector)
    assert (plain.note, noted.note) == ("", "scaled")


def test_a_channel_of_the_settings_is_heard(tmp_path: Path) -> None:
    both = np.stack([sine(1, 16_000), sine(1, 16_000, 900)])
    path = write_clip(tmp_path / "a.wav", sound=both, layout="stereo", audio="pcm_s16le")
    alone = write_clip(tmp_path / "b.wav", sound=sine(1, 16_000, 900)[None], audio="pcm_s16le")
    (found,) = AudioExtractor(AudioSettings(threads=1, channel=2)).extract([utterance(path)])
    (expected,) = AudioExtractor(AudioSettings(threads=1)).extract([utterance(alone)])
    np.testing.assert_array_equal(found.vector, expected.vector)
    assert not found.note
