"""The media oracle: containers x codings x faults, every span against a plain decode of the whole file."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import LARGEST, read_audio
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.sampling import BestEffort
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import span, write_clip
from tests.helpers.ffmpeg import ffmpeg, needs_ffmpeg

RATE = 16_000
SECONDS = 12

SOUND = {
    "mp4 aac": ("mp4", ["-c:a", "aac"]),
    "mp4 ac3": ("mp4", ["-c:a", "ac3"]),
    "mov alac": ("mov", ["-c:a", "alac"]),
    "mkv opus": ("mkv", ["-c:a", "libopus", "-ar", "48000"]),
    "mkv mp3": ("mkv", ["-c:a", "libmp3lame"]),
    "mkv flac": ("mkv", ["-c:a", "flac"]),
    "webm vorbis": ("webm", ["-c:a", "libvorbis"]),
    "ts aac": ("ts", ["-c:a", "aac"]),
    "ts mp2": ("ts", ["-c:a", "mp2"]),
    "flv aac": ("flv", ["-c:a", "aac"]),
    "mpg mp2": ("mpg", ["-c:a", "mp2"]),
    "avi mp3": ("avi", ["-c:a", "libmp3lame"]),
    "ogg opus": ("ogg", ["-c:a", "libopus", "-ar", "48000"]),
    "wma": ("wma", ["-c:a", "wmav2"]),
}
LOSING = "noise=drop=between(pts*tb\\,{}\\,{})+between(pts*tb\\,{}\\,{})"
FAULTS = {
    "healthy": [],
    "late": ["-itsoffset", "1.5"],
    "two gaps": ["-bsf:a", LOSING.format(2.0, 2.9, 6.5, 9.0)],
    "lost packets": ["-bsf:a", "noise=drop=lt(mod(n\\,25)\\,3)*gt(n\\,25)"],
}
"""What is done to the packets; ``noise`` is FFmpeg's filter that drops them."""


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise below 3 kHz with a picture: what is heard when can be told to the sample."""
    path = tmp_path_factory.mktemp("oracle") / "noise.mkv"
    sound = np.random.default_rng(0).normal(0, 1, SECONDS * 44_100)
    smooth = np.convolve(sound, np.hanning(20) / np.hanning(20).sum(), "same") * 0.5
    pictures = [np.full((64, 64, 3), 3 * number, np.uint8) for number in range(5 * SECONDS)]
    return write_clip(path, pictures, smooth.astype(np.float32)[None], fps=5, rate=44_100, audio="flac")


def by_stamps(path: Path) -> np.ndarray:
    """The whole file in the plainest way: each frame's samples put where its timestamp says, then resampled at once."""
    with opened(span(path)) as container:
        origin, stream = (container.start_time or 0) / 1e6, container.streams.best("audio")
        native = stream.rate
        line = np.zeros((SECONDS + 4) * native, np.float32)
        after, end = 0, 0
        to_mono = av.AudioResampler("flt", "mono", native, options={"rematrix_maxval": "1"})
        for frame in container.decode(stream):
            at = after if frame.pts is None else round((float(frame.pts * stream.time_base) - origin) * native)
            if after and abs(at - after) < 0.006 * native:  # rounding is no gap
                at = after
            samples = np.concatenate([block.to_ndarray()[0] for block in to_mono.resample(frame)])
            begin = max(-at, 0)
            line[at + begin : at + len(samples)] = samples[begin:]
            after = end = at + len(samples)
    return resampled(line[:end], native)


def resampled(samples: np.ndarray, native: int) -> np.ndarray:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32)[None], format="flt", layout="mono")
    frame.sample_rate = native
    resampler = av.AudioResampler("flt", "mono", RATE)
    blocks = [block.to_ndarray()[0] for part in (frame, None) for block in resampler.resample(part)]
    return np.concatenate(blocks)[: round(len(samples) * RATE / native)]


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", SOUND)
def test_every_span_s_samples(tmp_path: Path, noise: Path, kind: str, fault: str) -> None:
    ending, coding = SOUND[kind]
    path = tmp_path / f"a.{ending}"
    picture = (
        []
        if ending in ("ogg", "wma", "webm")
        else ["-map", "0:v", "-c:v", "mpeg2video" if ending == "mpg" else "libx264"]
    )
    offset, dropped = (FAULTS[fault], []) if fault == "late" else ([], FAULTS[fault])
    if fault == "late" and not picture:
        pytest.skip("sound alone is never late")
    try:
        ffmpeg("-i", noise, *offset, "-i", noise, *picture, "-map", "1:a", *coding, *dropped, "-bf", "0", path)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this FFmpeg does not write it: {error.stderr.decode().splitlines()[-1:]}")
    reference = by_stamps(path)
    generator = np.random.default_rng(len(kind))
    for start in [0.0, *generator.uniform(0, SECONDS - 3, 6)]:
        end = start + generator.uniform(1.0, 3.0)
        expected = reference[round(start * RATE) : round(end * RATE)]
        try:
            found = read_audio(span(path, start, end))
        except MediaError as error:
            assert error.status in (Status.SILENT, Status.NO_AUDIO)
            assert np.abs(expected).max() < 0.01
            continue
        assert abs(len(found) - len(expected)) <= 0.03 * RATE
        alike(found, expected)


def alike(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal tenth of a second by tenth, but for what timestamps are rounded to: milliseconds, anew after each gap."""
    size, far = RATE // 10, round(0.0021 * RATE)
    known, right = 0, 0
    for at in range(far, min(len(found), len(expected)) - size - far, size):
        part = found[at : at + size]
        near = [expected[at + lag : at + lag + size] for lag in range(-far, far + 1)]
        if np.abs(part).max() < 0.01 and np.abs(near[far]).max() < 0.01:
            continue
        known += 1
        right += (
            max(np.dot(part, other) / (np.linalg.norm(part) * np.linalg.norm(other) + 1e-9) for other in near) > 0.85
        )
    assert right >= 0.75 * known  # the others are those in which the sound is cut twice


FILMS = {
    "h264 mp4": ("mp4", ["-c:v", "libx264", "-bf", "3"]),
    "hevc mkv": ("mkv", ["-c:v", "libx265", "-x265-params", "log-level=none"]),
    "vp9 webm": ("webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime"]),
    "av1 mp4": ("mp4", ["-c:v", "libsvtav1", "-preset", "12"]),
    "h264 ts": ("ts", ["-c:v", "libx264", "-g", "20"]),
    "h264 flv": ("flv", ["-c:v", "libx264", "-bf", "2"]),
    "mpeg4 mkv": ("mkv", ["-c:v", "mpeg4", "-bf", "2"]),
}
TIMES = {
    "constant": ["-r", "25"],
    "29.97": ["-vf", "fps=30000/1001"],
    "one a second": ["-vf", "fps=1"],
    "still for a second": ["-vf", "select='not(between(t,1.02,2.02))'", "-vsync", "vfr"],
    "random": ["-vf", "select='gt(random(1),0.6)'", "-vsync", "vfr"],
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (10, 40, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    pictures = [np.roll(noise, 3 * number, 1)[:128, :192] for number in range(125)]
    return write_clip(tmp_path_factory.mktemp("oracle") / "film.mkv", pictures, video="ffv1")


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("kind", FILMS)
def test_every_sampled_frame(tmp_path: Path, film: Path, kind: str, times: str) -> None:
    ending, coding = FILMS[kind]
    path = tmp_path / f"a.{ending}"
    ffmpeg("-i", film, *TIMES[times], *coding, path)
    best, every = BestEffort(), []
    with opened(span(path)) as container:
        origin, stream = (container.start_time or 0) / 1e6, container.streams.video[0]
        for frame in container.decode(stream):
            stamp = best.of(frame.pts, frame.dts)
            every.append((float(stamp * stream.time_base) - origin, frame.to_ndarray(format="gray")))
    for start in (0.0, *np.random.default_rng(1).uniform(0.2, 3.0, 5)):
        end = start + 1.3
        found = list(read_frames(span(path, float(start), float(end))))
        assert found
        near = [m for m, _ in every][max(sum(m <= start for m, _ in every) - 1, 0) :]
        lengths = np.diff([m for m in near if m <= end])
        constant = len(lengths) > 0 and lengths.max() < 0.05
        for at, frame in enumerate(found):
            step = start + at / 5
            if constant:
                moment, grey = next((m, g) for m, g in every if m >= step - 1e-6)
                assert frame.time == pytest.approx(moment, abs=1e-3)
            else:
                grey = [g for m, g in every if m <= max(step, every[0][0]) + 2e-7][-1]
                assert frame.time == pytest.approx(max(step, every[0][0]), abs=1e-3)
            np.testing.assert_array_equal(frame.grey, grey)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    offset=st.integers(0, 100).map(lambda packets: 20 * packets),
    runs=st.lists(st.tuples(st.integers(10, 80), st.integers(1, 150)), min_size=1, max_size=4),
    bounds=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 2**16),
)
@example(rate=22_050, offset=80, runs=[(10, 1)], bounds=(1.0, 0.25), seed=0)  # half a sample of silence before it
def test_random_gaps_offsets_and_rates(
    tmp_path: Path, rate: int, offset: int, runs: list[tuple[int, int]], bounds: tuple[float, float], seed: int
) -> None:
    """Packets of 20 ms in Matroska: what comes out is the line of samples and silence, resampled, cut, to the bit."""
    size = rate // 50
    generator = np.random.default_rng(seed)
    line = [np.zeros(round(offset / 1000 * rate), np.int16)]
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        picture = container.add_stream("rawvideo", rate=1)  # the file's clock begins at 0 though its sound does not
        picture.width, picture.height, picture.pix_fmt = 16, 16, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        container.mux([*picture.encode(frame), *picture.encode(None)])
        at = offset
        for packets, gap in runs:
            for _ in range(packets):
                samples = generator.integers(-20_000, 20_000, size).astype(np.int16)
                piece = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                piece.sample_rate, piece.time_base, piece.pts = rate, Fraction(1, 1000), at
                container.mux(stream.encode(piece))
                line.append(samples)
                at += 20
            line.append(np.zeros(gap * size, np.int16))
            at += 20 * gap
    whole = np.concatenate(line[:-1])
    expected = resampled(whole / np.float32(32768), rate)
    length = len(whole) / rate
    start, end = (round(bound * length, 2) for bound in sorted(bounds))
    try:
        found = read_audio(span(tmp_path / "a.mkv", start, end))
    except MediaError as error:
        part = expected[round(start * RATE) : round(end * RATE)]
        assert error.status in (Status.SILENT, Status.TOO_SHORT, Status.NO_AUDIO)
        assert len(part) < 0.08 * RATE or part[20:-20].std() < 1e-2
        return
    part = np.clip(expected[round(start * RATE) : round(end * RATE)], -1, LARGEST)
    assert abs(len(found) - len(part)) <= 1
    inner = slice(40, min(len(found), len(part)) - 40)
    np.testing.assert_allclose(found[inner], part[inner], atol=1e-6)
