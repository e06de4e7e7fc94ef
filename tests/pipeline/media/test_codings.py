"""Every coding of pictures that FFmpeg writes: the sampled frames are those of decoding everything."""

from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.media.frames import read_frames
from bigfusion.pipeline.media.sampling import BestEffort
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import levels, sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, encoders, ffmpeg, ffprobe, needs_ffmpeg, needs_field

LAGGING = ["-auto-alt-ref", "1", "-lag-in-frames", "16", "-deadline", "realtime"]
SMALL, TINY = ["-vf", "scale=176:144"], ["-vf", "scale=80:64"]  # slow encoders
CODINGS = {
    "libx264": ("mp4", ["-bf", "3"]), "libx265": ("mp4", ["-x265-params", "log-level=none"]),
    "libsvtav1": ("mp4", ["-preset", "12"]), "libaom-av1": ("mkv", ["-cpu-used", "8", "-lag-in-frames", "20"]),
    "librav1e": ("mkv", ["-speed", "10"]), "libvpx": ("webm", LAGGING), "libvpx-vp9": ("webm", LAGGING),
    "mpeg4": ("mp4", ["-bf", "2"]), "libxvid": ("avi", ["-bf", "2"]), "mpeg2video": ("ts", ["-bf", "2"]),
    "mpeg1video": ("mpg", ["-bf", "2"]), "msmpeg4": ("avi", []), "wmv1": ("wmv", []), "wmv2": ("wmv", []),
    "flv": ("flv", []), "libtheora": ("ogv", []), "mjpeg": ("avi", []), "prores": ("mov", []),
    "dnxhd": ("mov", ["-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p"]), "ffv1": ("mkv", []), "huffyuv": ("avi", []),
    "utvideo": ("avi", []), "rawvideo": ("avi", []), "snow": ("mkv", ["-strict", "-2"]), "cinepak": ("avi", TINY),
    "svq1": ("mov", []), "jpeg2000": ("mkv", SMALL), "png": ("mov", []), "qtrle": ("mov", []), "cfhd": ("mov", []),
    "magicyuv": ("avi", []), "zmbv": ("avi", TINY), "speedhq": ("mkv", []),
}  # fmt: skip
"""By encoder: a container, and what makes pictures depend on each other as much as it can."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of noise that drifts, at 25 frames a second: codecs predict one picture from others."""
    noise = np.random.default_rng(0).integers(0, 255, (24, 60, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    pictures = [np.roll(noise, 3 * number, 1)[:288, :352] for number in range(75)]
    return write_clip(tmp_path_factory.mktemp("film") / "film.mkv", pictures, video="ffv1")


def everything(path: Path) -> list[tuple[float, np.ndarray]]:
    """Every frame's time on the file's clock, at FFmpeg's best effort, and its grey picture."""
    best = BestEffort()
    with opened(span(path)) as container:
        origin, stream = (container.start_time or 0) / 1e6, container.streams.video[0]
        found, moment = [], 0.0
        for frame in container.decode(stream):
            stamp = best.of(frame.pts, frame.dts)
            moment = moment + 0.04 if stamp is None else float(stamp * stream.time_base) - origin
            found.append((moment, frame.to_ndarray(format="gray")))
    return found


def check(path: Path, every: list[tuple[float, np.ndarray]], start: float, end: float, rate: float = 5.0) -> None:
    """The first frame of each step, to the pixel: the rate is constant."""
    steps: dict[int, tuple[float, np.ndarray]] = {}
    for moment, grey in every:
        if start - 1e-6 <= moment < end:
            steps.setdefault(int((moment - start) * rate + 1e-6), (moment, grey))
    found = list(read_frames(span(path, start, end), rate=rate))
    assert [frame.time for frame in found] == pytest.approx([moment for moment, _ in steps.values()], abs=1e-3)
    for frame, (_, grey) in zip(found, steps.values(), strict=True):
        np.testing.assert_array_equal(frame.grey, grey)


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("coding", CODINGS)
def test_spans_whose_first_packet_is_not_wanted(tmp_path: Path, film: Path, coding: str) -> None:
    if coding not in encoders("V"):
        pytest.skip(f"this FFmpeg has no {coding}")
    ending, how = CODINGS[coding]
    path = tmp_path / f"a.{ending}"
    ffmpeg("-i", film, "-an", "-c:v", coding, *how, path)
    every = everything(path)
    assert len(every) >= 70
    for start, end in ((0.0, 3.0), (0.07, 1.0), (0.31, 0.46), (1.21, 2.0), (1.66, 2.9), (2.05, 2.2)):
        check(path, every, start, end)
    check(path, every, 1.13, 2.5, rate=24.0)


@needs_ffmpeg
def test_av1_loses_no_frame(tmp_path: Path, film: Path) -> None:
    """`skip_frame`, which AV1's decoders read once, lost the frames that others do not refer to."""
    coding = next((name for name in ("libsvtav1", "libaom-av1") if name in encoders("V")), None)
    if coding is None:
        pytest.skip("this FFmpeg writes no AV1")
    ffmpeg("-i", film, "-an", "-c:v", coding, *CODINGS[coding][1], tmp_path / "a.mp4")
    every = everything(tmp_path / "a.mp4")
    for start in np.arange(0.04, 2.7, 0.21):
        check(tmp_path / "a.mp4", every, float(start), float(start) + 0.15)


@needs_field
@needs_ffmpeg
def test_packed_b_frames_come_at_ffprobe_s_times() -> None:
    path = FIELD / "v5_packed_bframes.avi"
    times = [float(line) for line in ffprobe(path, "v", "frame=best_effort_timestamp_time") if line != "N/A"]
    every = everything(path)
    assert [moment for moment, _ in every][: len(times)] == pytest.approx(times)
    assert len(list(read_frames(span(path), rate=25.0))) == len(every)
    for start in np.arange(0.2, 2.0, 0.13):
        check(path, every, float(start), float(start) + 0.8)


@needs_ffmpeg
@pytest.mark.parametrize("coding", ["libxvid", "mpeg4", "libx264"])
def test_b_frames_in_avi(tmp_path: Path, film: Path, coding: str) -> None:
    ffmpeg("-i", film, "-an", "-c:v", coding, "-bf", "2", tmp_path / "a.avi")
    times = [float(t) for t in ffprobe(tmp_path / "a.avi", "v", "frame=best_effort_timestamp_time") if t != "N/A"]
    every = everything(tmp_path / "a.avi")
    assert [moment for moment, _ in every][: len(times)] == pytest.approx(times)
    for start in (0.3, 1.07, 1.5):
        check(tmp_path / "a.avi", every, start, start + 0.8)


@needs_field
class TestStills:
    def test_av1_is_its_h264(self) -> None:
        for start, end in ((1.2, 2.0), (None, None), (0.05, 0.2)):
            one, other = (
                [frame.time for frame in read_frames(span(FIELD / name, start, end))]
                for name in ("v0_h264.mp4", "v1_av1.mp4")
            )
            assert one == pytest.approx(other, abs=1e-3)

    @pytest.mark.parametrize("name", ["v2_one_fps.mp4", "v3_still_1_to_2.mp4"])
    @pytest.mark.parametrize(("start", "end"), [(None, None), (1.2, 1.9), (1.1, 1.9), (1.45, 1.5)])
    def test_the_frame_that_is_shown(self, name: str, start: float | None, end: float | None) -> None:
        with av.open(str(FIELD / name)) as container:
            every = [(frame.time, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
            last = float((container.streams.video[0].duration) * container.streams.video[0].time_base)
        found = list(read_frames(span(FIELD / name, start, end)))
        moments = np.arange(start or 0.0, min(end or last, last) - 1e-6, 0.2)
        assert [frame.time for frame in found] == pytest.approx(moments)
        for frame in found:
            shown = [grey for moment, grey in every if moment <= frame.time + 1e-6][-1]
            np.testing.assert_array_equal(frame.grey, shown)

    def test_a_size_that_changes_is_said(self) -> None:
        notes: list[str] = []
        found = list(read_frames(span(FIELD / "v4_resolution_changes.webm"), notes=notes))
        assert {frame.grey.shape for frame in found} == {(384, 384), (192, 192)}
        assert notes == ["2 frame sizes"]


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pictures_that_begin_late(tmp_path: Path, name: str) -> None:
    whole = write_clip(tmp_path / "whole.mp4", levels(25), sine(6, 16_000)[None], fps=5, video_options={"bf": "0"})
    ffmpeg("-i", whole, "-itsoffset", "2", "-i", whole, "-map", "0:a", "-map", "1:v", "-c", "copy", tmp_path / name)
    with pytest.raises(MediaError, match=r"its first at 2\.0") as caught:
        list(read_frames(span(tmp_path / name, 0.0, 1.0)))
    assert caught.value.status == Status.NO_VIDEO
    found = list(read_frames(span(tmp_path / name, 1.5, 3.0)))
    assert [frame.time for frame in found] == pytest.approx([2.0, 2.2, 2.4, 2.6, 2.8], abs=0.07)


class TestRegions:
    def test_a_region_is_a_part_of_the_upright_frame(self, tmp_path: Path) -> None:
        from dataclasses import replace

        picture = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        path = write_clip(tmp_path / "a.mp4", [picture] * 3)
        (whole, *_) = read_frames(span(path))
        for left, top, right, bottom in ((0, 0, 1, 1), (0.25, 0.5, 0.75, 1), (0, 0, 0.5, 1), (0.9, 0.9, 1, 1)):
            (part, *_) = read_frames(replace(span(path), region=(left, top, right, bottom)))
            rows, columns = slice(round(128 * top), round(128 * bottom)), slice(round(192 * left), round(192 * right))
            np.testing.assert_array_equal(part.grey, whole.grey[rows, columns])
            assert max(part.small(96).shape) in (96, *part.grey.shape)

    def test_halves_are_regions(self, tmp_path: Path) -> None:
        from dataclasses import replace

        path = write_clip(tmp_path / "a.mp4", [np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)])
        for crop, region in (("left", (0, 0, 0.5, 1)), ("right", (0.5, 0, 1, 1))):
            (half,) = read_frames(span(path, crop=crop))
            (part,) = read_frames(replace(span(path), region=region))
            np.testing.assert_array_equal(half.grey, part.grey)
            np.testing.assert_array_equal(half.small(), part.small())
