"""Frames from media files: the right ones, the right way up, and every bad file a typed failure."""

import gc
import itertools
import struct
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.frames import Frame, read_frames
from bigfusion.pipeline.media.sampling import FirstOfEachStep
from bigfusion.pipeline.media.source import Source
from bigfusion.pipeline.schema import MediaSpan, Status
from tests.helpers.clip_maker import levels, sine, span, write_clip


def frames_of(path: Path, start: float | None = None, end: float | None = None, **how: float) -> list[Frame]:
    return list(read_frames(span(path, start, end), **how))


def noted(path: Path, end: float | None = None) -> list[str]:
    notes: list[str] = []
    assert list(read_frames(span(path, end=end), notes=notes))
    return notes


def failure(source: MediaSpan, **how: float) -> MediaError:
    with pytest.raises(MediaError) as caught:
        list(read_frames(source, **how))
    assert source.path.name in caught.value.reason
    return caught.value


def textured(count: int, seed: int = 0) -> list[np.ndarray]:
    """A picture that drifts, so that every frame differs and codecs predict one from another."""
    noise = np.random.default_rng(seed).integers(0, 255, (20, 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return [np.roll(noise, 2 * number, 1)[:96, :128] for number in range(count)]


def with_matrix(path: Path, matrix: tuple[int, ...]) -> Path:
    """The mp4 with the first two rows of another display matrix in its track's header: a, b, 0, c, d, 0."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44  # the matrix: nine fixed-point numbers
    content[at : at + 36] = struct.pack(">9i", *(value << 16 for value in matrix), 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


CODINGS = {
    "h264": {"name": "a.mp4"},
    "h264 with pyramid": {"name": "a.mp4", "video_options": {"bf": "3", "b-pyramid": "normal", "g": "12"}},
    "h264 in matroska": {"name": "a.mkv", "video_options": {"bf": "2"}},
    "mpeg4 in avi": {"name": "a.avi", "video": "mpeg4"},
    "mpeg4 in avi, bidirectional": {"name": "a.avi", "video": "mpeg4", "video_options": {"bf": "2"}},
    "mpeg4 in mp4, bidirectional": {"name": "a.mp4", "video": "mpeg4", "video_options": {"bf": "2"}},
    "transport stream": {"name": "a.ts"},
}


def all_frames(path: Path) -> list[tuple[float, np.ndarray]]:
    """Every frame's time on the file's clock and its grey picture, decoded in the plainest way."""
    with av.open(str(path)) as container:
        origin = container.start_time / 1e6
        return [(frame.time - origin, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


@pytest.mark.parametrize("coding", CODINGS)
def test_the_first_frame_at_or_after_each_step(tmp_path: Path, coding: str) -> None:
    """Compared with decoding everything: same moments, and not one pixel differs where others were skipped."""
    how = dict(CODINGS[coding])
    clip = write_clip(tmp_path / str(how.pop("name")), textured(60), sine(2.4, 16000)[None], **how)  # type: ignore[arg-type]
    every = all_frames(clip)
    assert len(every) == 60
    spans = [(None, None), (0.6, 1.2), (0.61, 1.21), (1.0, None), (None, 0.6), (1.9, 9.0)]
    for (start, end), rate in itertools.product(spans, [1.0, 5.0, 6.25, 24.0, 100.0]):
        begin, stop = start or 0.0, end or 99.0
        expected: list[tuple[float, np.ndarray]] = []
        for step in begin + np.arange(int((min(stop, 3) - begin) * rate) + 1) / rate:
            after = [(moment, grey) for moment, grey in every if step - 1e-6 <= moment < stop]
            if after and (not expected or after[0][0] > expected[-1][0]):
                expected.append(after[0])
        found = frames_of(clip, start, end, rate=rate)
        assert [frame.time for frame in found] == pytest.approx([moment for moment, _ in expected])
        for frame, (_, grey) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(frame.grey, grey)


def test_five_a_second_of_25(tmp_path: Path) -> None:
    frames = frames_of(write_clip(tmp_path / "a.mp4", levels(45)))
    assert [round((float(frame.grey.mean()) - 20) / 5) for frame in frames] == list(range(0, 45, 5))
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(9) / 5, atol=1e-3)


def test_frames_that_nobody_needs_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", textured(60), video_options={"bf": "3"})
    with av.open(str(path)) as container:
        every = [frame.pict_type for frame in container.decode(video=0)]
    decoded: list[int] = []
    decode = Source.decode
    monkeypatch.setattr(Source, "decode", lambda *args: [decoded.append(1) or frame for frame in decode(*args)])
    assert len(frames_of(path)) == 12
    assert len(decoded) < 0.75 * len(every)


def flash_tags(path: Path) -> tuple[bytes, list[bytearray]]:
    """A Flash file's head and its tags: type 9 is video, bytes 4 to 6 the time in milliseconds."""
    content, at, tags = path.read_bytes(), 13, []
    while at < len(content):
        end = at + 11 + int.from_bytes(content[at + 1 : at + 4]) + 4
        tags.append(bytearray(content[at:end]))
        at = end
    return content[:13], tags


def test_parameters_that_change_on_the_way_reach_the_decoder(tmp_path: Path) -> None:
    """Two Flash files joined: the second's size and coding are told once, long before the span."""
    small = write_clip(tmp_path / "a.flv", textured(75), video_options={"g": "25", "bf": "0"})
    large = [np.tile(picture, (2, 2, 1)) for picture in textured(175)]
    head, tags = flash_tags(small)
    joined = [tag for tag in tags if tag[0] == 9]
    for tag in flash_tags(write_clip(tmp_path / "b.flv", large, video_options={"g": "25", "bf": "3"}))[1]:
        if tag[0] == 9:
            tag[4:7] = (int.from_bytes(tag[4:7]) + 3000).to_bytes(3)
            joined.append(tag)
    clip = tmp_path / "c.flv"
    clip.write_bytes(head + b"".join(joined))
    expected = [grey for moment, grey in all_frames(clip) if 8.0 <= moment < 9.0]
    found = frames_of(clip, 8.0, 9.0, rate=25.0)
    assert len(found) == len(expected) == 25
    for frame, grey in zip(found, expected, strict=True):
        np.testing.assert_array_equal(frame.grey, grey)


LONG = {
    "transport stream": {"name": "a.ts", "video_options": {"g": "25"}},
    "open groups": {
        "name": "a.ts",
        "video_options": {"x264-params": "open-gop=1:keyint=20:bframes=3:b-pyramid=normal"},
    },
    "gradual refresh": {"name": "a.ts", "video_options": {"x264-params": "intra-refresh=1:keyint=50:bframes=0"}},
    "mpeg2 program stream": {"name": "a.mpg", "video": "mpeg2video", "video_options": {"bf": "2", "g": "15"}},
    "flash": {"name": "a.flv", "video_options": {"g": "25"}},
    "windows media": {"name": "a.wmv", "video": "msmpeg4", "video_options": {"g": "25"}},
}


@pytest.mark.parametrize("coding", LONG)
def test_a_late_span_without_an_index_is_decoded_from_a_keyframe(
    tmp_path: Path, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies long before the span is neither kept nor decoded, and the pixels are those of decoding everything."""
    how = dict(LONG[coding])
    noise = np.random.default_rng(0).integers(0, 255, (8, 200, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    wide = [np.roll(noise, -2 * number, 1)[:, :800] for number in range(250)]  # 50 columns: one a frame is refreshed
    clip = write_clip(tmp_path / str(how.pop("name")), wide, **how)  # type: ignore[arg-type]
    every = all_frames(clip)
    decoded: list[object] = []
    decode = Source.decode
    monkeypatch.setattr(Source, "decode", lambda source, packet: decoded.append(packet) or decode(source, packet))
    for start in (7.0, 8.5):
        decoded.clear()
        expected = [(moment, grey) for moment, grey in every if start - 1e-6 <= moment < start + 1.0]
        found = frames_of(clip, start, start + 1.0, rate=25.0)
        assert len(decoded) <= 150
        assert [frame.time for frame in found] == pytest.approx([moment for moment, _ in expected])
        for frame, (_, grey) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(frame.grey, grey)


@given(st.floats(0.5, 60), st.floats(1, 60), st.floats(0, 3), st.floats(0.1, 5))
def test_sampler_takes_the_first_frame_of_each_step(rate: float, fps: float, start: float, length: float) -> None:
    moments = [number / fps for number in range(int((start + length) * fps) + 2)]
    sampler = FirstOfEachStep(start, start + length, rate)
    taken = [taken for moment in moments for taken, _ in sampler.add(moment, None)]
    first_of: dict[int, float] = {}
    for moment in moments:
        if start - 1e-6 / rate <= moment < start + length:
            first_of.setdefault(int((moment - start) * rate + 1e-6), moment)
    assert taken == list(first_of.values())


class TestPictures:
    def test_black_and_white_use_the_whole_range(self, tmp_path: Path) -> None:
        """Video stores 16-235; both pictures are to span 0-255."""
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[:, 48:] = 255
        first = frames_of(write_clip(tmp_path / "a.mp4", [frame] * 3))[0]
        for picture in (first.grey, *np.moveaxis(first.small(), 2, 0)):
            assert picture[:, :44].max() <= 4
            assert picture[:, 52:].min() >= 251

    def test_colours_are_rgb(self, tmp_path: Path) -> None:
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[..., 0] = 200
        red, green, blue = frames_of(write_clip(tmp_path / "a.mp4", [frame]))[0].small().mean((0, 1))
        assert red > 180
        assert max(green, blue) < 40

    @pytest.mark.parametrize(
        ("height", "width", "small"), [(360, 640, (180, 320)), (640, 360, (320, 180)), (48, 64, (48, 64))]
    )
    def test_small_has_the_longer_side_asked_for_and_never_grows(
        self, tmp_path: Path, height: int, width: int, small: tuple[int, int]
    ) -> None:
        frame = frames_of(write_clip(tmp_path / "a.mp4", levels(1, height, width)))[0]
        assert frame.grey.shape == (height, width)
        assert frame.shape == (height, width)
        assert frame.small(320).shape == (*small, 3)
        assert frame.grey.flags.c_contiguous
        assert frame.small(320).flags.c_contiguous

    def test_halves(self, tmp_path: Path) -> None:
        picture = np.zeros((64, 128, 3), np.uint8)
        picture[:, 64:] = 255
        path = write_clip(tmp_path / "a.mp4", [picture])
        left, right = (next(read_frames(span(path, crop=crop))) for crop in ("left", "right"))
        for frame, dark in ((left, True), (right, False)):
            assert frame.grey.shape == (64, 64)
            assert frame.small(32).shape == (32, 32, 3)
            assert frame.shape == (64, 64)
            inner = frame.grey[:, 4:-4]
            assert inner.max() < 5 if dark else inner.min() > 250

    def test_oblong_pixels_are_made_square(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", levels(1, 64, 64), aspect=Fraction(2, 1))
        assert frames_of(path)[0].grey.shape == (64, 128)

    @pytest.mark.parametrize(
        ("matrix", "bright"),
        [
            ((0, 1, 0, -1, 0, 0), "right"),  # the file is to be shown turned a quarter clockwise
            ((-1, 0, 0, 0, -1, 0), "bottom"),
            ((0, -1, 0, 1, 0, 0), "left"),
        ],
    )
    def test_a_turned_picture_is_set_upright(self, tmp_path: Path, matrix: tuple[int, ...], bright: str) -> None:
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[:32] = 255  # bright on top
        path = with_matrix(write_clip(tmp_path / "a.mp4", [picture]), matrix)
        grey = frames_of(path)[0].grey
        assert grey.shape == ((64, 96) if bright == "bottom" else (96, 64))
        half = {"right": grey[:, 36:], "left": grey[:, :28], "bottom": grey[36:]}[bright]
        assert half.min() > 240
        assert grey.mean() == pytest.approx(127, abs=10)

    @pytest.mark.parametrize(
        ("matrix", "shown"),
        [
            ((-1, 0, 0, 0, 1, 0), np.fliplr),
            ((1, 0, 0, 0, -1, 0), np.flipud),
            ((0, 1, 0, 1, 0, 0), lambda picture: picture.T),
            ((0, -1, 0, -1, 0, 0), lambda picture: np.rot90(picture, 2).T),
        ],
        ids=["left and right", "top and bottom", "diagonal", "other diagonal"],
    )
    def test_a_mirrored_picture_is_shown_as_players_show_it(
        self, tmp_path: Path, matrix: tuple[int, ...], shown: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        """A selfie camera's. A point (x, y) is shown at (a x + c y, b x + d y)."""
        tiles = np.random.default_rng(0).integers(0, 255, (4, 6), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        path = write_clip(tmp_path / "a.mp4", [np.repeat(tiles[..., None], 3, 2)])
        plain = frames_of(path)[0].grey
        (frame,) = frames_of(with_matrix(path, matrix))
        np.testing.assert_array_equal(frame.grey, shown(plain))
        assert frame.shape == frame.grey.shape == frame.small(96).shape[:2]
        (left,) = read_frames(span(path, crop="left"))
        np.testing.assert_array_equal(left.grey, frame.grey[:, : frame.grey.shape[1] // 2])


class TestBadFiles:
    def test_missing_and_not_media(self, tmp_path: Path) -> None:
        assert failure(span(tmp_path / "gone.mp4")).status == Status.MISSING_MEDIA
        (tmp_path / "a.mp4").write_text("#EXTM3U\nsecret.mp4\n")
        assert failure(span(tmp_path / "a.mp4")).status == Status.CORRUPT_MEDIA

    def test_no_video(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.wav", sound=sine(1, 16000)[None], audio="pcm_s16le")
        assert failure(span(path)).status == Status.NO_VIDEO

    def test_a_cover_picture_is_no_video(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as container:
            voice, cover = container.add_stream("aac", rate=16000), container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
            cover.disposition = av.stream.Disposition.attached_pic
            container.mux(cover.encode(av.VideoFrame.from_ndarray(levels(1, 64, 64)[0], format="rgb24")))
            container.mux(cover.encode(None))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 16000
            container.mux(voice.encode(sound))
            container.mux(voice.encode(None))
        assert failure(span(path)).status == Status.NO_VIDEO

    def test_truncated(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", textured(50), container_options={"movflags": "+faststart"})
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * 0.6)])
        assert failure(span(path)).status == Status.CORRUPT_MEDIA

    def test_a_missing_end_is_said(self, tmp_path: Path) -> None:
        front = {"movflags": "+faststart"}
        path = write_clip(tmp_path / "a.mp4", textured(75), video_options={"bf": "0"}, container_options=front)
        assert noted(path) == []
        with av.open(str(path)) as container:
            last = [packet.pos for packet in container.demux(video=0) if packet.size][-6]
        path.write_bytes(path.read_bytes()[:last])
        assert noted(path) == ["0.2 s missing at the end"]
        assert noted(path, end=1.0) == []

    def test_one_of_two_tracks_is_said(self, tmp_path: Path) -> None:
        with av.open(str(tmp_path / "a.mkv"), "w") as container:
            streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
            for stream in streams:
                stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(levels(1)[0], format="rgb24")
                container.mux([*stream.encode(frame), *stream.encode(None)])
        assert noted(tmp_path / "a.mkv") == ["2 video tracks, first taken"]

    def test_overlong(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", levels(40))
        assert failure(span(path), limit_seconds=1.0).status == Status.OVERLONG
        assert len(frames_of(path, 0.2, 1.0, limit_seconds=1.0)) == 4

    def test_overlong_against_the_header(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mkv", levels(50, step=4))
        content = path.read_bytes()
        at = content.index(b"\x44\x89\x88") + 3
        path.write_bytes(content[:at] + struct.pack(">d", 100.0) + content[at + 8 :])
        assert failure(span(path), limit_seconds=1.0).status == Status.OVERLONG

    @pytest.mark.parametrize(("start", "end"), [(5.0, 6.0), (0.5, 0.5)])
    def test_a_span_without_frames(self, tmp_path: Path, start: float, end: float) -> None:
        path = write_clip(tmp_path / "a.mp4", levels(25))
        assert failure(span(path, start, end)).status == Status.TOO_SHORT

    def test_between_two_frames_the_one_that_is_shown(self, tmp_path: Path) -> None:
        found = frames_of(write_clip(tmp_path / "a.mp4", levels(25)), 0.501, 0.502)
        assert [frame.time for frame in found] == [0.501]
        assert np.median(found[0].grey) == pytest.approx(20 + 5 * 12, abs=2)  # the frame of 0.48 s

    def test_frames_beyond_all_measure(self, tmp_path: Path) -> None:
        """A damaged header must not make us allocate gigabytes."""
        path = write_clip(tmp_path / "a.avi", levels(3), video="rawvideo")
        content = bytearray(path.read_bytes())
        at = content.index(b"strf") + 12  # BITMAPINFOHEADER: width, height
        content[at : at + 8] = struct.pack("<ii", 20000, 20000)
        path.write_bytes(content)
        assert failure(span(path)).status == Status.CORRUPT_MEDIA

    def test_the_time_limit_is_processor_time(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", textured(50))
        reason = failure(span(path), timeout_seconds=1e-4).reason
        assert "processor time" in reason
        assert "raise visual.timeout_seconds" in reason
        assert "--retry-failed" in reason

    def test_a_span_is_judged_by_what_is_decoded_for_it(self, tmp_path: Path) -> None:
        """That much of a long stream is sound does not make up for a span in which every other packet is broken."""
        path = write_clip(tmp_path / "a.flv", textured(250), video_options={"g": "25", "bf": "0"})
        head, tags = flash_tags(path)
        pictures = [tag for tag in tags if tag[0] == 9 and tag[12] == 1]
        assert len(pictures) == 250
        for tag in pictures[180:200:2]:
            tag[16:20] = b"\xff\xff\xff\xff"  # a picture begins with its length
        path.write_bytes(head + b"".join(tags))
        assert "packets that do not decode" in failure(span(path, 7.0, 8.0)).reason
        assert len(frames_of(path, 2.0, 3.0)) == 5


def test_frames_come_one_by_one(tmp_path: Path) -> None:
    """A long clip's pictures are never in memory together, and a caller may stop in the middle."""
    frames = read_frames(span(write_clip(tmp_path / "a.mp4", levels(30))))
    assert next(frames).time == pytest.approx(0, abs=1e-3)
    assert next(frames).time == pytest.approx(0.2, abs=1e-3)
    frames.close()


def test_what_is_over_is_freed_at_once(tmp_path: Path) -> None:
    """Without waiting for Python's collector, which does not see how large decoded frames are."""
    clip = write_clip(tmp_path / "a.mp4", levels(30))
    gc.disable()
    try:
        pictures = []
        for frame in read_frames(span(clip)):
            assert frame.grey.shape == frame.small(96).shape[:2]
            pictures.append(weakref.ref(frame.picture))
        del frame
        assert [picture() for picture in pictures] == [None] * 6
    finally:
        gc.enable()
