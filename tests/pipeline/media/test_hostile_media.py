"""Files as nobody should make them, and people do: each gives right numbers or a typed failure, and never hangs."""

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import levels, sine, span, write_clip


def heard(path: Path, **how: float) -> np.ndarray | Status:
    try:
        return read_audio(span(path), **how)
    except MediaError as error:
        return Status(error.status)


def seen(path: Path, **how: float) -> list[tuple[float, int]] | Status:
    """Each frame's time and level."""
    try:
        return [(round(frame.time, 3), int(np.median(frame.grey))) for frame in read_frames(span(path), **how)]
    except MediaError as error:
        return Status(error.status)


def wav_of(path: Path, samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> Path:
    """16-bit PCM by hand: no library stands between the test and the bytes."""
    data = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2, channels * 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.avi", "a"])
@pytest.mark.parametrize("size", [0, 1, 11])
def test_next_to_nothing(tmp_path: Path, name: str, size: int) -> None:
    (tmp_path / name).write_bytes(b"RIFF\0\0\0\0WAVE"[:size])
    assert heard(tmp_path / name) == seen(tmp_path / name) == Status.CORRUPT_MEDIA


@pytest.mark.parametrize("count", [0, 1, 1119])
def test_no_sample_one_and_one_too_few(tmp_path: Path, count: int) -> None:
    expected = Status.TOO_SHORT if count else Status.CORRUPT_MEDIA
    assert heard(wav_of(tmp_path / "a.wav", np.full(count, 9000))) == expected


def test_a_name_says_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", levels(10), sine(1, 16_000)[None], fps=10)
    sound = write_clip(tmp_path / "b.wav", sound=sine(1, 16_000)[None], audio="pcm_s16le")
    frames, samples, plain = seen(clip), heard(clip), heard(sound)
    clip.rename(tmp_path / "c.wav")
    sound.rename(tmp_path / "d.mp4")
    assert seen(tmp_path / "c.wav") == frames
    np.testing.assert_array_equal(heard(tmp_path / "c.wav"), samples)
    np.testing.assert_array_equal(heard(tmp_path / "d.mp4"), plain)


def test_a_video_stream_without_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        picture, voice = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_s16le", rate=16_000)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        frame = av.AudioFrame.from_ndarray((sine(1, 16_000) * 30_000).astype(np.int16)[None], layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux([*voice.encode(frame), *voice.encode(None)])
    assert seen(tmp_path / "a.mkv") in (Status.CORRUPT_MEDIA, Status.TOO_SHORT)
    assert len(heard(tmp_path / "a.mkv")) == 16_000


@pytest.mark.parametrize("rate", [96_000, 192_000, 7_350, 12_345])
@pytest.mark.parametrize("channels", [1, 8])
def test_odd_rates_and_eight_channels(tmp_path: Path, rate: int, channels: int) -> None:
    tone = np.repeat(sine(1, rate)[:, None] * 16_000, channels, 1)
    found = heard(wav_of(tmp_path / "a.wav", tone, rate, channels))
    assert isinstance(found, np.ndarray)
    assert len(found) == 16_000
    assert np.abs(found).max() == pytest.approx(0.5 * 16_000 / 32_768, rel=0.03)


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (16_000, 0), (1 << 31, 1), (1, 1), (16_000, 65_535)])
def test_headers_that_cannot_be(tmp_path: Path, rate: int, channels: int) -> None:
    path = wav_of(tmp_path / "a.wav", np.full(4000, 9000))
    content = bytearray(path.read_bytes())
    content[22:24], content[24:28] = struct.pack("<H", channels), struct.pack("<I", rate)
    path.write_bytes(content)
    assert isinstance(heard(path), Status)


def test_frames_at_uneven_times(tmp_path: Path) -> None:
    """A recorder that drops frames: at each moment the one that is shown then, again where it still is."""
    moments = [0, 1, 2, 9, 10, 30, 31, 55]  # hundredths
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for moment, picture in zip(moments, levels(len(moments), step=20), strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = seen(tmp_path / "a.mp4", rate=10.0)
    assert isinstance(found, list)
    assert [moment for moment, _ in found] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [level for _, level in found] == pytest.approx([20, 100, 100, 120, 140, 140], abs=6)


def test_interlaced(tmp_path: Path) -> None:
    options = {"x264-params": "tff=1:interlaced=1"}
    path = write_clip(tmp_path / "a.mp4", levels(10, 128, 96), fps=10, video_options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    found = seen(path)
    assert isinstance(found, list)
    assert [level for _, level in found] == pytest.approx([20, 30, 40, 50, 60], abs=4)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
@pytest.mark.parametrize("shift", [-0.4, 0.5, 3600.0])
def test_clocks_that_do_not_start_at_zero(tmp_path: Path, name: str, shift: float) -> None:
    """Times count from the file's first timestamp, whatever it is."""
    with av.open(str(tmp_path / name), "w", options={"avoid_negative_ts": "disabled"}) as container:
        picture = container.add_stream("libx264", rate=10, options={"bf": "0"})
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        voice = container.add_stream("ac3", rate=48_000, layout="mono")
        packets = []
        for number, array in enumerate(levels(20)):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24")
            frame.pts, frame.time_base = number + round(10 * shift), Fraction(1, 10)
            packets += picture.encode(frame)
        packets += picture.encode(None)
        for number, part in enumerate(np.split(sine(1.984, 48_000), 62)):  # AC-3's frames
            frame = av.AudioFrame.from_ndarray(part[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = 1536 * number + round(48_000 * shift)
            packets += voice.encode(frame)
        packets += voice.encode(None)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    found, sound = seen(tmp_path / name), heard(tmp_path / name)
    assert isinstance(found, list)
    assert isinstance(sound, np.ndarray)
    first = found[0][0]
    assert [moment - first for moment, _ in found] == pytest.approx(np.arange(len(found)) / 5, abs=0.101)
    assert first <= 0.6
    cut = 0.4 if name == "a.mp4" and shift < 0 else 0.0  # its edit list begins at zero
    assert len(found) == round(5 * (2 - cut))
    assert len(sound) == pytest.approx(16_000 * (1.984 - cut), abs=100)


def test_a_stream_that_begins_again_and_again_is_no_endless_clip(tmp_path: Path) -> None:
    """A recorder that restarts its clock: a minute and a half in pieces of one second."""
    piece = write_clip(tmp_path / "piece.aac", sound=sine(1, 16_000)[None]).read_bytes()
    (tmp_path / "a.aac").write_bytes(piece * 90)
    assert heard(tmp_path / "a.aac") == Status.OVERLONG
    piece = write_clip(tmp_path / "piece.ts", levels(25)).read_bytes()
    (tmp_path / "a.ts").write_bytes(piece * 90)
    assert seen(tmp_path / "a.ts") == Status.CORRUPT_MEDIA


def test_an_avi_that_was_written_into_a_pipe(tmp_path: Path) -> None:
    """Its header counts hours, and ADPCM in AVI half as much again as there is."""
    plain = write_clip(tmp_path / "a.avi", levels(40), sine(1.6, 16_000)[None], video="mpeg4", audio="pcm_s16le")
    with (tmp_path / "b.avi").open("wb") as file:
        pipe = SimpleNamespace(write=file.write)  # it cannot be sought
        with av.open(str(plain)) as given, av.open(pipe, "w", format="avi") as made:
            streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
            for packet in given.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream.index]
                    made.mux(packet)
    assert seen(tmp_path / "b.avi") == seen(plain)
    np.testing.assert_array_equal(heard(tmp_path / "b.avi"), heard(plain))
    assert (
        heard(tmp_path / "b.avi", limit_seconds=1.0) == seen(tmp_path / "b.avi", limit_seconds=1.0) == Status.OVERLONG
    )
    coded = write_clip(tmp_path / "c.avi", sound=sine(3, 48_000)[None], rate=48_000, audio="adpcm_ima_wav")
    assert len(heard(coded, limit_seconds=3.1)) == pytest.approx(48_000, abs=700)


def test_pictures_of_a_size_that_only_a_header_has(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", levels(5), video="mpeg4")
    sound = seen(path)
    content = path.read_bytes()
    size = struct.pack("<II", 96, 64)
    assert content.count(size) >= 1
    path.write_bytes(content.replace(size, struct.pack("<II", 100_000, 100_000)))
    assert seen(path) == sound == [(0.0, 20)]  # the decoder goes by the stream's own size
