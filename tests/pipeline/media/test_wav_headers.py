"""Wav files as writers leave them: lengths that mean unknown or say too little, floats on other scales."""

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media import riff
from bigfusion.pipeline.media.audio import LARGEST, read_audio
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, ffmpeg, needs_ffmpeg, needs_field, needs_sox

RATE = 16_000
SOUND = np.round(np.random.default_rng(0).normal(0, 3000, 4 * RATE)).clip(-32768, 32767)
NOISE = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
FORMATS = {"<i2": (1, 16), "<f4": (3, 32), "<f8": (3, 64)}


def wav(
    path: Path, samples: np.ndarray, kind: str = "<i2", riff_size: int | None = None, data_size: int | None = None,
    tail: bytes = b"",
) -> Path:  # fmt: skip
    coding, bits = FORMATS[kind]
    data = samples.astype(kind).tobytes()
    form = struct.pack("<HHIIHH", coding, 1, RATE, RATE * bits // 8, bits // 8, bits)
    size = len(data) if data_size is None else data_size
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data + tail
    total = len(chunks) if riff_size is None else riff_size
    path.write_bytes(b"RIFF" + struct.pack("<I", total) + chunks)
    return path


def status(path: Path, start: float | None = None) -> Status:
    with pytest.raises(MediaError) as caught:
        read_audio(span(path, start))
    return Status(caught.value.status)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF024, 0x7FFFFFF7, 0x7FFF0000, 0x80000024, 0xFFFFFFF0])
@pytest.mark.parametrize("data", [None, 0x7FFFF000, 0xFFFFFFFF, 0x80000000])
def test_lengths_that_mean_unknown(tmp_path: Path, size: int, data: int | None) -> None:
    path = wav(tmp_path / "a.wav", SOUND, riff_size=size, data_size=data)
    for start, end in ((None, None), (2.5, 3.5)):
        begin, stop = round((start or 0) * RATE), None if end is None else round(end * RATE)
        np.testing.assert_array_equal(read_audio(span(path, start, end)), (SOUND[begin:stop] / 32768).astype("f4"))


@pytest.mark.parametrize("size", [0x7FFEFFFF, 1_000_000])
def test_a_length_that_can_be_meant_is_believed(tmp_path: Path, size: int) -> None:
    assert status(wav(tmp_path / "a.wav", SOUND, riff_size=size)) == Status.CORRUPT_MEDIA


@pytest.mark.parametrize("counted", [0, 2, RATE, 3 * RATE])
def test_a_header_that_counts_too_little_is_not_believed_and_this_is_said(tmp_path: Path, counted: int) -> None:
    path = wav(tmp_path / "a.wav", SOUND, riff_size=36 + 2 * counted, data_size=2 * counted)
    notes: list[str] = []
    np.testing.assert_array_equal(read_audio(span(path), notes=notes), (SOUND / 32768).astype("f4"))
    assert notes == ["header counts fewer samples than there are"]
    np.testing.assert_array_equal(read_audio(span(path, 3.25, 3.75)), (SOUND[52_000:60_000] / 32768).astype("f4"))


@pytest.mark.parametrize(
    "tail",
    [b"LIST" + struct.pack("<I", 2000) + bytes(2000), bytes(5000), b"TAG" + b"x" * 125,
     b"id3 " + struct.pack("<I", 4000) + b"y" * 4000, b"ID3\3\0\0\0\0\x1f\x20" + NOISE,
     b"APETAGEX" + struct.pack("<II", 2000, 4032) + NOISE, b"LYRICSBEGIN" + NOISE],
    ids=["chunk", "padding", "tag", "long tag", "cover", "APE's tag", "lyrics"],
)  # fmt: skip
def test_what_rightly_follows_the_samples_is_not_heard(tmp_path: Path, tail: bytes) -> None:
    path = wav(tmp_path / "a.wav", SOUND, tail=tail)
    assert not riff.understated(path)
    assert len(read_audio(span(path))) == 4 * RATE


def test_a_chunk_behind_an_odd_number_of_samples_may_lack_its_padding(tmp_path: Path) -> None:
    data = (128 + SOUND[: 2 * RATE - 1] // 256).astype(np.uint8).tobytes()
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE, 1, 8)
    for padding in (b"", b"\0"):
        chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data + padding
        chunks += b"LIST" + struct.pack("<I", len(NOISE)) + NOISE
        (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
        assert len(read_audio(span(tmp_path / "a.wav"))) == 2 * RATE - 1


@pytest.mark.parametrize("audio", ["adpcm_ima_wav", "adpcm_ms", "adpcm_yamaha", "adpcm_swf", "g722"])
def test_a_span_of_coded_sound_is_the_whole_file_s(tmp_path: Path, audio: str) -> None:
    """FFmpeg's writer gives ADPCM 16,000 bytes a second, whatever it takes, and its reader goes by that number."""
    sound = np.convolve(np.random.default_rng(0).normal(0, 0.2, 20 * 22_050), np.ones(9) / 9, "same")[None]
    path = write_clip(tmp_path / "a.wav", sound=sound, rate=16_000 if audio == "g722" else 22_050, audio=audio)
    whole = read_audio(span(path))
    for start, end in ((1.5, 2.5), (9.3, 11.1), (17.0, None)):
        found = read_audio(span(path, start, end))
        np.testing.assert_array_equal(found, whole[round(start * RATE) : None if end is None else round(end * RATE)])
    assert status(path, start=40.0) == Status.TOO_SHORT


@pytest.mark.parametrize("second", [0, RATE, 4 * RATE, 1])
@pytest.mark.parametrize("size", [None, 0xFFFFFFFF], ids=["sized", "piped"])
def test_a_false_number_of_bytes_a_second_moves_nothing(tmp_path: Path, second: int, size: int | None) -> None:
    path = wav(tmp_path / "a.wav", SOUND, riff_size=size, data_size=size)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"fmt ") + 16, second)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_audio(span(path, 2.5, 3.5)), (SOUND[40_000:56_000] / 32768).astype("f4"))
    np.testing.assert_array_equal(read_audio(span(path)), (SOUND / 32768).astype("f4"))


@pytest.mark.parametrize(("audio", "layout"), [("pcm_s16le", "mono"), ("pcm_s24le", "5.1"), ("pcm_mulaw", "stereo")])
def test_a_true_header_tells_where_a_moment_is(tmp_path: Path, audio: str, layout: str) -> None:
    sound = np.zeros((av.AudioLayout(layout).nb_channels, 800), np.float32)
    assert riff.is_measured(write_clip(tmp_path / "a.wav", sound=sound, layout=layout, audio=audio))
    assert not riff.is_measured(write_clip(tmp_path / "b.wav", sound=sound[:1], audio="adpcm_ima_wav"))


def test_two_files_in_one_are_refused(tmp_path: Path) -> None:
    one = wav(tmp_path / "a.wav", SOUND).read_bytes()
    (tmp_path / "b.wav").write_bytes(one + one)
    assert status(tmp_path / "b.wav") == Status.CORRUPT_MEDIA


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.aiff", "a.caf", "a.w64"])
def test_headers_of_other_kinds_that_count_too_little_are_refused(tmp_path: Path, name: str) -> None:
    ffmpeg("-i", wav(tmp_path / "a.wav", SOUND), tmp_path / name)
    assert len(read_audio(span(tmp_path / name))) == 4 * RATE
    content = bytearray((tmp_path / name).read_bytes())
    at = content.index(b"SSND" if name == "a.aiff" else b"data")
    place, form = {"a.aiff": (4, ">I"), "a.caf": (4, ">Q"), "a.w64": (16, "<Q")}[name]
    struct.pack_into(form, content, at + place, 32_032)
    if name == "a.aiff":
        struct.pack_into(">I", content, content.index(b"COMM") + 10, 16_000)
    (tmp_path / name).write_bytes(content)
    assert status(tmp_path / name) == Status.CORRUPT_MEDIA


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
@pytest.mark.parametrize(("factor", "bits"), [(1, 16), (256, 24), (65536, 32)])
def test_numbers_of_a_sound_card_in_a_float_file_are_scaled(tmp_path: Path, kind: str, factor: int, bits: int) -> None:
    whole = np.concatenate([SOUND, np.tile([0.0, 1.0, -1.0], 2000)])  # and a quiet end: one file has one scale
    right = wav(tmp_path / "right.wav", whole)
    path = wav(tmp_path / f"{bits}.wav", whole * factor, kind)
    for start, end in ((None, None), (1.0, 2.0)):
        notes: list[str] = []
        np.testing.assert_array_equal(
            read_audio(span(path, start, end), notes=notes), read_audio(span(right, start, end))
        )
        assert notes == ["scaled"]
    quiet = read_audio(span(path, 4.1, 4.3), silence_rms=1e-6, notes=notes)
    assert np.abs(quiet).max() <= 2.0**-15


@pytest.mark.parametrize(
    ("peak", "count", "said"),
    [
        (0.9, RATE, []),
        (1.2, 8, []),
        (7.0, 144, ["cut at full scale 0.9 %"]),
        (1.2, RATE, ["cut at full scale 100.0 %"]),
    ],
)
def test_a_mild_excess_is_cut_and_this_is_said(tmp_path: Path, peak: float, count: int, said: list[str]) -> None:
    """Up to 1.25 it may be a resampler's overshoot."""
    sound = np.where(np.arange(RATE) < count, peak, 0.5) * np.sign(sine(1, RATE) + 0.001)
    notes: list[str] = []
    samples = read_audio(span(wav(tmp_path / "a.wav", sound, "<f4")), notes=notes)
    np.testing.assert_array_equal(samples, np.clip(sound.astype("f4"), -1, LARGEST))
    assert notes == said


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_sound_of_unit_variance_is_refused(tmp_path: Path, kind: str) -> None:
    """As models take it, and pipelines save it: a sixth of it would be cut, and every functional would be another."""
    sound = SOUND * (1 + np.sin(np.arange(len(SOUND)) / 9000)) / 20_000
    assert len(read_audio(span(wav(tmp_path / "a.wav", sound, kind)))) == 4 * RATE
    path = wav(tmp_path / "b.wav", (sound - sound.mean()) / sound.std(), kind)
    with pytest.raises(MediaError, match=r"within \+-1, found \d+\.\d % of them beyond, up to \d") as caught:
        read_audio(span(path))
    assert caught.value.status == Status.CORRUPT_MEDIA


def test_a_loud_turn_of_a_quiet_file_is_refused_alone(tmp_path: Path) -> None:
    turn = np.concatenate([np.tile(0.2 * sine(1, RATE, level=1.0), 300), 3 * sine(1, RATE, level=1.0)])
    path = wav(tmp_path / "a.wav", turn, "<f4")
    assert len(read_audio(span(path, 0.0, 10.0))) == 10 * RATE
    with pytest.raises(MediaError, match="scale them"):
        read_audio(span(path, 300.0, 301.0))


def test_a_shout_in_a_quiet_recording_is_cut_and_this_is_said(tmp_path: Path) -> None:
    shout = np.where(np.arange(RATE) % 30, 0.5, 3.0) * np.sign(sine(1, RATE) + 0.001)
    path = wav(tmp_path / "a.wav", np.concatenate([np.tile(0.2 * sine(1, RATE, level=1.0), 10), shout]), "<f4")
    notes: list[str] = []
    assert len(read_audio(span(path, 10.0, 11.0), notes=notes)) == RATE
    assert notes == ["cut at full scale 3.3 %"]


def test_a_chosen_channel_is_not_refused_for_what_another_holds(tmp_path: Path) -> None:
    """Two lapel microphones, the second far too loud."""
    quiet = 0.2 * sine(1, RATE, level=1.0)
    both = np.stack([quiet, 30 * quiet]).astype("f4")
    path = write_clip(tmp_path / "a.wav", sound=both, layout="stereo", audio="pcm_f32le")
    samples = read_audio(replace(span(path), channel=1))
    np.testing.assert_allclose(samples, both[0], atol=1e-6)
    with pytest.raises(MediaError, match="of them beyond, up to 6"):
        read_audio(replace(span(path), channel=2))
    with pytest.raises(MediaError, match="scale them"):
        read_audio(span(path))


def test_one_scale_of_a_sound_card_holds_for_all_channels(tmp_path: Path) -> None:
    """A silent channel's numbers are within +-1."""
    faint = np.tile([0.0, 1.0, -1.0, 0.0], RATE // 4)
    both = np.stack([faint, 20_000 * np.sign(sine(1, RATE))]).astype("f4")
    path = write_clip(tmp_path / "a.wav", sound=both, layout="stereo", audio="pcm_f32le")
    samples = read_audio(replace(span(path), channel=1), silence_rms=1e-6)
    np.testing.assert_array_equal(samples, (faint * 2.0**-15).astype("f4"))


def test_a_scale_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    assert status(wav(tmp_path / "a.wav", 37.3 * sine(1, RATE, level=1.0), "<f4")) == Status.CORRUPT_MEDIA
    assert status(wav(tmp_path / "b.wav", 1e12 * sine(1, RATE, level=1.0), "<f8")) == Status.CORRUPT_MEDIA


def test_sound_that_is_no_float_is_never_scaled(tmp_path: Path) -> None:
    notes: list[str] = []
    for name, audio in (("a.flac", "flac"), ("a.wv", "wavpack"), ("a.mp4", "aac"), ("a.wav", "pcm_s24le")):
        samples = read_audio(span(write_clip(tmp_path / name, sound=sine(1, RATE)[None], audio=audio)), notes=notes)
        assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)
    assert not notes


@needs_sox
def test_sox_into_a_pipe(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", SOUND)
    piped = subprocess.run(["sox", path, "-t", "wav", "-", "vol", "0.5"], check=True, capture_output=True).stdout
    (tmp_path / "b.wav").write_bytes(piped)
    np.testing.assert_allclose(read_audio(span(tmp_path / "b.wav")), SOUND / 65536, atol=2.0**-15)


@needs_field
def test_the_field_s_files() -> None:
    say = read_audio(span(FIELD / "say.wav"))
    for name in ("w1_float_with_int_numbers.wav", "w2_header_of_first_second.wav", "w3_sox_pipe.wav", "w4_nist.sph"):
        np.testing.assert_array_equal(read_audio(span(FIELD / name)), say)
