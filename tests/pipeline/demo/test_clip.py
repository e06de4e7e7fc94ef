from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.demo.clip import Picture, Samples, encoded, resampled, write_clip

RATE = 22_050


def tone(hertz: float, seconds: float, rate: int) -> Samples:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def stripes(count: int) -> list[Picture]:
    """Grey bars, brighter from frame to frame."""
    bars = np.repeat(np.arange(8) * 12, 16)[None, :, None] + np.zeros((96, 1, 3))
    return [(bars + 60 + 4 * number).astype(np.uint8) for number in range(count)]


def decoded_sound(path: Path) -> Samples:
    """All channels, (C, S)."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.mark.parametrize(
    ("rate", "layout", "heard"), [(48_000, "mono", [0]), (44_100, "stereo", [0, 1]), (48_000, "5.1", [2])]
)
def test_a_clip_is_h264_and_aac_as_asked_for(tmp_path: Path, rate: int, layout: str, heard: list[int]) -> None:
    path = tmp_path / "new" / "clip.mp4"
    write_clip(path, stripes(24), 12, (tone(440, 2, RATE), RATE), rate, layout)
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, video.average_rate) == ("h264", "yuv420p", 12)
        assert (audio.codec_context.name, audio.codec_context.sample_rate, audio.layout.name) == ("aac", rate, layout)
        assert container.duration / av.time_base == pytest.approx(2, abs=0.05)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 24
    for frame, original in zip(frames, stripes(24), strict=True):
        assert np.abs(frame.astype(int) - original).mean() < 4

    sound = decoded_sound(path)
    strength = np.sqrt(np.mean(np.square(sound), axis=1))  # (C,)
    for channel, value in enumerate(strength):
        assert value == pytest.approx(0.3 / np.sqrt(2) if channel in heard else 0, abs=0.01)
    spectrum = np.abs(np.fft.rfft(sound[heard[0]]))
    assert np.argmax(spectrum) * rate / sound.shape[1] == pytest.approx(440, abs=2)


def test_the_same_arguments_give_the_same_bytes() -> None:
    sound = (np.random.default_rng(1).normal(0, 0.1, RATE).astype(np.float32), RATE)
    assert encoded(stripes(12), 12, sound, 48_000, "5.1") == encoded(stripes(12), 12, sound, 48_000, "5.1")


def test_without_sound_there_is_no_audio_stream(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    write_clip(path, stripes(12), 12, None)
    with av.open(str(path)) as container:
        assert not container.streams.audio
        assert len(list(container.decode(video=0))) == 12


def test_silence_comes_back_as_digital_silence(tmp_path: Path) -> None:
    path = tmp_path / "silent.mp4"
    write_clip(path, stripes(12), 12, (np.zeros(RATE, np.float32), RATE))
    assert not decoded_sound(path).any()


@pytest.mark.parametrize("length", [100, 1023, RATE, 70_001])
@pytest.mark.parametrize("wanted", [16_000, 44_100, 48_000])
def test_resampling_keeps_the_duration(length: int, wanted: int) -> None:
    assert abs(len(resampled(np.zeros(length, np.float32), RATE, wanted)) - length * wanted / RATE) <= 1


def test_resampling_keeps_a_tone() -> None:
    found, expected = resampled(tone(440, 1, RATE), RATE, 48_000), tone(440, 1, 48_000)
    inner = slice(500, -500)  # the filter's ends
    np.testing.assert_allclose(found[inner], expected[inner], atol=2e-3)
