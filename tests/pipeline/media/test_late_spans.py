"""Late spans of long files: cheap, and to the sample what decoding the whole file gives."""

import time
from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.media import packet_index
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.media.source import Source
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.ffmpeg import ffmpeg, needs_ffmpeg

pytestmark = needs_ffmpeg
NOISE = "anoisesrc=d={}:c=pink:r=44100:a=0.3:s=1,lowpass=6000"
NO_DICE = ["-aac_pns", "0"]
"""Decoders of AAC put random numbers into noisy bands, other ones after a late start."""
KINDS = {
    "a.mp3": ["-c:a", "libmp3lame", "-q:a", "4"],
    "b.mp3": ["-c:a", "libmp3lame", "-b:a", "64k"],
    "c.mp3": ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0"],
    "a.opus": ["-c:a", "libopus"],
    "a.ogg": ["-c:a", "libvorbis"],
    "a.flac": ["-c:a", "flac"],
    "a.aac": ["-c:a", "aac", *NO_DICE],
    "a.ts": ["-c:a", "aac", *NO_DICE],
    "a.flv": ["-c:a", "aac", *NO_DICE],
    "a.wv": ["-c:a", "wavpack"],
    "a.ac3": ["-c:a", "ac3"],
    "a.asf": ["-c:a", "wmav2"],
    "a.m4a": ["-c:a", "aac", *NO_DICE],
    "a.mkv": ["-c:a", "aac", *NO_DICE],
    "b.mkv": ["-c:a", "flac"],
    "a.webm": ["-c:a", "libopus"],
    "a.avi": ["-c:a", "libmp3lame"],
    "a.wav": ["-c:a", "pcm_s16le"],
    "b.wav": ["-c:a", "pcm_s16le", "-ar", "11127"],
}
DITHERED = {"b.ts": ["-c:a", "ac3"], "b.avi": ["-c:a", "ac3"], "a.mpg": ["-c:a", "mp2"]}
"""The decoders add noise below the least bit, other noise after a late start."""
SPANS = ((25.237, 27.5), (24.0, 24.31), (26.0, 26.5), (28.0, None))
"""The third begins where AAC's timestamps in a transport stream are half a sample late."""


def from_the_beginning(path: Path, start: float, end: float | None, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    with monkeypatch.context() as patched:
        patched.setattr(Source, "enter", lambda _: True)
        return read_audio(span(path, start, end))


@pytest.mark.parametrize("name", KINDS)
def test_a_late_span_is_the_whole_file_s(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ffmpeg("-f", "lavfi", "-i", NOISE.format(30), "-ac", "1", *KINDS[name], tmp_path / name)
    for start, end in SPANS:
        late = read_audio(span(tmp_path / name, start, end))
        np.testing.assert_array_equal(late, from_the_beginning(tmp_path / name, start, end, monkeypatch))


@pytest.mark.parametrize("name", DITHERED)
def test_a_late_span_lies_where_the_whole_file_s_does(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample beside its place differs ten times as much."""
    ffmpeg("-f", "lavfi", "-i", NOISE.format(30), "-ac", "1", *DITHERED[name], tmp_path / name)
    for start, end in SPANS:
        late = read_audio(span(tmp_path / name, start, end))
        np.testing.assert_allclose(late, from_the_beginning(tmp_path / name, start, end, monkeypatch), atol=4e-3)


def test_a_gap_before_a_late_span_may_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames behind it do not lie where whole frames from the beginning would, though nearly."""
    path = tmp_path / "a.ts"
    gap = ["-bsf:a", "setts=ts=TS+179343*gt(TS*TB\\,12)"]  # of 83 frames and 0.7 ms
    ffmpeg("-f", "lavfi", "-i", NOISE.format(30), "-ac", "1", "-ar", "48000", "-c:a", "mp2", *gap, path)
    late = read_audio(span(path, 25.237, 26.237))
    np.testing.assert_allclose(late, from_the_beginning(path, 25.237, 26.237, monkeypatch), atol=4e-3)


def test_sound_that_begins_where_no_probe_looks_lies_where_its_timestamp_says(tmp_path: Path) -> None:
    """FFmpeg takes 0 s for the stream's beginning, and may refuse to go to a time before its first packet."""
    path = tmp_path / "a.mkv"
    pictures = ["-f", "lavfi", "-i", "testsrc=d=12:s=64x64:r=10"]
    noise = ["-itsoffset", "8.065", "-f", "lavfi", "-i", "anoisesrc=d=3:r=48000:a=0.3:s=1"]
    ffmpeg(*pictures, *noise, "-map", "0", "-map", "1", "-c:v", "mpeg4", "-c:a", "flac", path)
    for start in (0.5, 7.9):
        found = read_audio(span(path, start, 9.0))
        assert np.flatnonzero(np.abs(found) > 0.02)[0] == pytest.approx((8.065 - start) * 16_000, abs=5)


def test_a_program_stream_is_entered_inside_a_frame(tmp_path: Path) -> None:
    """The packets up to the next whole frame do not decode; they lie before the span, and are no damage."""
    time = np.arange(26 * 48_000) / 48_000
    sound = 0.4 * np.sin(2 * np.pi * (100 * time + 20 * time**2))
    path = write_clip(tmp_path / "a.mpg", sound=sound[None], rate=48_000, audio="mp2")
    whole = read_audio(span(path))
    for start in np.arange(20, 25, 0.25):
        found = read_audio(span(path, start, start + 0.5))
        np.testing.assert_allclose(found, whole[round(start * 16_000) :][:8_000], atol=1e-4)


def test_a_changed_file_is_another_file(tmp_path: Path) -> None:
    for seconds in (30, 27):
        ffmpeg("-f", "lavfi", "-i", NOISE.format(seconds), "-ac", "1", "-c:a", "libmp3lame", tmp_path / "a.mp3")
        assert len(read_audio(span(tmp_path / "a.mp3", seconds - 5.0, None))) == pytest.approx(5 * 16_000, abs=1200)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.mp3", "c.mp3", "a.opus"])
def test_the_last_span_of_three_hours_costs_what_the_first_does(tmp_path: Path, name: str) -> None:
    """The file is gone through once, at the first late span."""
    ffmpeg("-f", "lavfi", "-i", NOISE.format(600), "-ac", "1", *KINDS[name], tmp_path / f"part-{name}")
    (tmp_path / "list").write_text(f"file part-{name}\n" * 18)
    ffmpeg("-f", "concat", "-i", tmp_path / "list", "-c", "copy", tmp_path / name)

    def cost(start: float) -> float:
        best = []
        for _ in range(3):
            began = time.process_time()
            assert len(read_audio(span(tmp_path / name, start, start + 4.0))) == 64_000
            best.append(time.process_time() - began)
        return min(best)

    packet_index._kept.clear()
    began = time.process_time()
    read_audio(span(tmp_path / name, 10_700.0, 10_704.0))
    once = time.process_time() - began
    assert once < 8.0
    first, last = cost(2.0), cost(10_780.0)
    assert last < 3 * first + 0.02
