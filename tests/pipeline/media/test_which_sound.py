"""Which sound is the speaker's: what somebody chose; else it is said what was taken."""

import struct
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import chosen, read_audio
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import levels, sine, span, write_clip

RATE = 16_000
VOICES = [sine(1, RATE, 300 + 200 * place) for place in range(6)]


def heard(path: Path, track: int | None = None, channel: int | None = None) -> tuple[np.ndarray, list[str]]:
    notes: list[str] = []
    return read_audio(replace(span(path), track=track, channel=channel), notes=notes), notes


def pitch(samples: np.ndarray) -> int:
    return round(int(np.abs(np.fft.rfft(samples)).argmax()) * RATE / len(samples))


@pytest.mark.parametrize("audio", ["pcm_s16le", "pcm_f32le", "pcm_u8"])
@pytest.mark.parametrize(("layout", "count"), [("stereo", 2), ("quad", 4), ("5.1", 6)])
def test_a_channel_by_its_number(tmp_path: Path, audio: str, layout: str, count: int) -> None:
    path = write_clip(tmp_path / "a.wav", sound=np.stack(VOICES[:count]), layout=layout, audio=audio)
    for place in range(count):
        samples, notes = heard(path, channel=place + 1)
        assert pitch(samples) == 300 + 200 * place
        assert samples.std() == pytest.approx(0.5 * 0.5**0.5, abs=0.01)
        assert not notes
    with pytest.raises(MediaError, match=f"channel {count + 1}, found {count}") as caught:
        heard(path, channel=count + 1)
    assert caught.value.status == Status.NO_AUDIO


def test_microphones_as_channels_are_mixed_and_this_is_said(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", sound=np.stack(VOICES[:4]), layout="quad", audio="pcm_s16le")
    assert heard(path)[1] == ["4 channels, mixed"]
    same = write_clip(tmp_path / "b.wav", sound=np.stack([VOICES[0]] * 2), layout="stereo", audio="pcm_s16le")
    assert not heard(same)[1]


def without_layout(path: Path, sound: np.ndarray) -> Path:
    """A wav that does not say where its channels belong, as most recorders write it. ``sound``: (C, n)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound.T * 32767).astype("<i2").tobytes())
    return path


def with_places(path: Path, sound: np.ndarray, places: int) -> Path:
    """A wav whose header says which loudspeakers its channels belong to: a bit each. ``sound``: (C, n)."""
    content = bytearray(without_layout(path, sound).read_bytes())
    form = b"\xfe\xff" + content[22:36] + struct.pack("<HHI", 22, 16, places)
    form += bytes.fromhex("0100000000001000800000aa00389b71")
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + content[36:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    return path


@pytest.mark.parametrize(
    ("places", "count"), [(0x9, 2), (0x5000, 2), (0x7000, 3)], ids=["FL+LFE", "TFL+TFR", "TFL+TFC+TFR"]
)
def test_a_layout_that_ffmpeg_cannot_mix_is_mixed_equally(tmp_path: Path, places: int, count: int) -> None:
    sound = np.stack(VOICES[:count])
    path = with_places(tmp_path / "a.wav", sound, places)
    with av.open(str(path)) as container:
        assert "FL" in container.streams.audio[0].layout.name
    samples, notes = heard(path)
    np.testing.assert_allclose(samples, sound.mean(0), atol=1e-4)
    assert notes == [f"{count} channels, mixed"]
    for place in range(count):
        samples, notes = heard(path, channel=place + 1)
        np.testing.assert_allclose(samples, sound[place], atol=1e-4)
        assert not notes


@pytest.mark.parametrize("count", [3, 4, 6, 8, 9, 16])
def test_no_microphone_is_left_out_where_no_layout_says_so(tmp_path: Path, count: int) -> None:
    sound = np.stack([sine(1, RATE, 300 + 100 * place, 0.9) for place in range(count)])
    samples, notes = heard(without_layout(tmp_path / "a.wav", sound))
    np.testing.assert_allclose(samples, sound.mean(0), atol=1e-3)
    assert notes == [f"{count} channels, mixed"]
    sound[:-1] = 0
    samples, _ = heard(without_layout(tmp_path / "b.wav", sound))
    assert pitch(samples) == 300 + 100 * (count - 1)


def test_channels_above_that_are_left_out_are_named(tmp_path: Path) -> None:
    """FFmpeg mixes the two in front above, and not the two behind; the bass is no loss."""
    sound = np.stack([sine(1, RATE, 300 + 100 * place) for place in range(10)])
    sound[3] = sine(1, RATE, 50)
    path = write_clip(tmp_path / "a.wav", sound=sound, layout="5.1.4", audio="pcm_s16le")
    assert heard(path)[1] == ["10 channels, mixed without the ninth, tenth"]


@pytest.mark.parametrize(("name", "audio"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.wv", "wavpack")])
def test_eight_channels_of_a_coder_are_read(tmp_path: Path, name: str, audio: str) -> None:
    """Their decoders give each channel apart, and PyAV reads beyond the eighth."""
    sound = np.repeat(sine(3, 48_000)[None], 8, 0)
    path = write_clip(tmp_path / name, sound=sound, rate=48_000, layout="7.1", audio=audio)
    samples = read_audio(span(path, 1.1, 2.6))
    assert samples.size == 1.5 * RATE
    assert pitch(samples) == 440


def test_speech_in_the_place_of_the_low_frequency_channel(tmp_path: Path) -> None:
    sound = np.zeros((6, RATE), np.float32)
    sound[3] = VOICES[3]
    alone = write_clip(tmp_path / "a.wav", sound=sound, layout="5.1", audio="pcm_s16le")
    samples, notes = heard(alone)
    assert pitch(samples) == 900
    assert notes == ["6 channels, fourth taken"]
    sound[0] = VOICES[0]
    beside = write_clip(tmp_path / "b.wav", sound=sound, layout="5.1", audio="pcm_s16le")
    assert heard(beside)[1] == ["6 channels, mixed without the fourth"]
    sound[0], sound[3] = 0, sine(1, RATE, 50)
    rumble = write_clip(tmp_path / "c.wav", sound=sound, layout="5.1", audio="pcm_s16le")
    with pytest.raises(MediaError) as caught:
        heard(rumble)
    assert caught.value.status == Status.SILENT


def test_channels_that_cancel_each_other(tmp_path: Path) -> None:
    """A microphone whose cable is soldered the wrong way round: the mix of both is nothing."""
    path = write_clip(tmp_path / "a.wav", sound=np.stack([VOICES[1], -VOICES[1]]), layout="stereo", audio="pcm_s16le")
    samples, notes = heard(path)
    assert pitch(samples) == 500
    assert notes == ["2 channels, first taken"]


def test_a_track_by_its_number(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        picture = container.add_stream("libx264", rate=5)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        tracks = [container.add_stream("flac", rate=RATE, layout="mono") for _ in range(2)]
        for number, array in enumerate(levels(5)):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 5)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for track, voice in zip(tracks, VOICES, strict=False):
            frame = av.AudioFrame.from_ndarray((voice * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux([*track.encode(frame), *track.encode(None)])
    samples, notes = heard(tmp_path / "a.mkv")
    assert pitch(samples) == 300
    assert notes == ["2 tracks, first taken"]
    for track in (1, 2):
        samples, notes = heard(tmp_path / "a.mkv", track=track)
        assert pitch(samples) == 100 + 200 * track
        assert not notes
    with pytest.raises(MediaError, match="track 3, found 2") as caught:
        heard(tmp_path / "a.mkv", track=3)
    assert caught.value.status == Status.NO_AUDIO


def test_the_table_comes_before_the_settings() -> None:
    here = replace(span(Path("a.wav")), track=2)
    assert chosen(here, 1, 4) == replace(here, track=2, channel=4)
    assert chosen(here, None, None) == here
