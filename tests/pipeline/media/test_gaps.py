"""Sound with gaps in its timestamps: every second is heard at its time, and what is filled is said."""

from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.audio import read_audio
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import levels, sine, span, write_clip
from tests.helpers.ffmpeg import FIELD, ffmpeg, heard_by_stamps, needs_ffmpeg, needs_field

RATE = 16_000


def rising(seconds: int, rate: int = 48_000) -> np.ndarray:
    """Second k holds a tone of 300 + 100 k Hz: which second is heard can be told."""
    return np.concatenate([sine(1, rate, 300 + 100 * second) for second in range(seconds)])


def pitches(samples: np.ndarray, step: float = 0.25) -> list[int]:
    """The pitch of each quarter of a second, to 100 Hz; 0 where there is silence."""
    size = round(step * RATE)
    parts = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    spectra = [np.abs(np.fft.rfft(part * np.hanning(size), 4 * size)) for part in parts]
    return [
        0 if part.std() < 0.01 else round(int(spectrum.argmax()) * RATE / (4 * size) / 100) * 100
        for part, spectrum in zip(parts, spectra, strict=True)
    ]


def without(source: Path, target: Path, begin: float, end: float) -> Path:
    """A copy without the packets of sound between two moments, their timestamps kept."""
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in given.streams}
        origin = (given.start_time or 0) / 1e6
        for packet in given.demux():
            if packet.dts is None:
                continue
            lost = packet.stream.type == "audio" and begin <= packet.pts * packet.time_base - origin < end
            if not lost:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gaps")


@pytest.mark.parametrize(
    ("name", "audio"),
    [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mkv", "libopus"), ("a.ts", "aac"), ("a.ts", "mp2"), ("a.flv", "aac"),
     ("a.mkv", "ac3"), ("a.webm", "libopus")],
)  # fmt: skip
class TestEveryContainer:
    @pytest.fixture
    def clip(self, folder: Path, name: str, audio: str) -> Path:
        """Twelve seconds, of which those from 5 to 8 are lost. Tests only read it."""
        path = folder / f"{audio}-{name}"
        if not path.exists():
            pictures = () if name.endswith("webm") else levels(24)
            whole = write_clip(folder / f"whole-{name}", pictures, rising(12)[None], fps=2, rate=48_000, audio=audio)
            without(whole, path, 5.0, 8.0)
        return path

    def test_each_second_is_at_its_time(self, clip: Path) -> None:
        notes: list[str] = []
        found = pitches(read_audio(span(clip), notes=notes))
        expected = [pitch for second in range(12) for pitch in [300 + 100 * second if not 5 <= second < 8 else 0] * 4]
        assert len(found) >= 47
        wrong = [at for at, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other]
        assert set(wrong) <= {0, 19, 20, 31, 32}  # where the sound changes within a quarter
        assert notes in (["gap filled 3.0 s"], ["gap filled 2.9 s"])

    def test_spans_beside_and_across_it(self, clip: Path) -> None:
        for start, end, expected in [
            (9.0, 11.0, [1200] * 4 + [1300] * 4),
            (4.0, 6.0, [700] * 4 + [0] * 4),
            (7.0, 9.0, [0] * 4 + [1100] * 4),
        ]:
            found = pitches(read_audio(span(clip, start, end)))
            assert len(found) == 8
            assert sum(one != other for one, other in zip(found, expected, strict=True)) <= 1

    def test_a_span_within_it_is_silent_and_says_why(self, clip: Path) -> None:
        with pytest.raises(MediaError, match="without any timestamp") as caught:
            read_audio(span(clip, 5.5, 7.5))
        assert caught.value.status == Status.SILENT

    @needs_ffmpeg
    def test_the_samples_are_those_that_ffmpeg_places(self, tmp_path: Path, name: str, audio: str) -> None:
        """FFmpeg 5 counts what Matroska's codecs need to begin (21 ms of AAC) as time, FFmpeg 8 does not."""
        noise = np.random.default_rng(0).normal(0, 0.3, 12 * 48_000)
        smooth = np.convolve(noise, np.ones(12) / 12, "same").astype(np.float32)
        whole = write_clip(tmp_path / f"whole-{name}", sound=smooth[None], rate=48_000, audio=audio)
        clip = without(whole, tmp_path / name, 5.0, 8.0)
        found, reference = read_audio(span(clip)), heard_by_stamps(clip)
        assert abs(len(found) - len(reference)) < 0.1 * RATE
        lags = []
        for begin in (1 * RATE, 3 * RATE, 9 * RATE, 10 * RATE):
            end = begin + RATE // 8  # of noise, that tells one lag from another
            alike = {
                lag: np.corrcoef(found[begin:end], reference[begin + lag : end + lag])[0, 1] for lag in range(-350, 351)
            }
            lags.append(max(alike, key=lambda lag: alike[lag]))
            assert alike[lags[-1]] > 0.95
        assert max(lags) - min(lags) <= 0.0011 * RATE
        assert max(map(abs, lags)) <= (0.0011 if name in ("a.mp4", "a.ts", "a.flv") else 0.0225) * RATE


def test_small_losses_are_filled_each(tmp_path: Path) -> None:
    """A tenth of each second is lost, as a bad line loses it: the last second is not 1.9 s early."""
    whole = write_clip(tmp_path / "whole.mkv", sound=rising(20)[None], rate=48_000, audio="libopus")
    clip = tmp_path / "a.mkv"
    with av.open(str(whole)) as given, av.open(str(clip), "w") as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(audio=0):
            if packet.dts is not None and not 0.4 <= float(packet.pts * packet.time_base) % 1 < 0.46:
                packet.stream = stream
                made.mux(packet)
    samples = read_audio(span(clip))
    assert pitches(samples, 0.5)[::2][1:] == [300 + 100 * second for second in range(1, 20)]
    quiet = [
        np.abs(samples[int((second + 0.43) * RATE) : int((second + 0.455) * RATE)]).max() for second in range(1, 19)
    ]
    assert max(quiet) < 0.1


@pytest.mark.parametrize(("name", "audio"), [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.ts", "aac")])
def test_sound_that_begins_late(tmp_path: Path, name: str, audio: str) -> None:
    whole = write_clip(
        tmp_path / f"whole-{name}",
        levels(20),
        rising(10)[None],
        fps=2,
        video_options={"bf": "0"},
        rate=48_000,
        audio=audio,
    )
    clip = without(whole, tmp_path / name, -1.0, 4.0)
    for start in (0.0, 0.5, 2.5):
        with pytest.raises(MediaError, match=r"its first at (3\.9|4\.0)") as caught:
            read_audio(span(clip, start, start + 1.0))
        assert caught.value.status == Status.NO_AUDIO
    found = pitches(read_audio(span(clip, 3.0, 6.0)))
    assert found[:3] + found[5:7] + found[9:11] == [0] * 3 + [700] * 2 + [800] * 2
    assert len(read_audio(span(clip, 5.0, 6.0))) == RATE


def test_a_recorder_that_paused_for_hours_is_overlong_and_its_end_is_cheap(tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as made:
        stream = made.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for begin in (0, 3 * 3600):
            frame = av.AudioFrame.from_ndarray((rising(3, RATE) * 32767).astype(np.int16)[None], layout="mono")
            frame.sample_rate, frame.pts = RATE, begin * RATE
            made.mux(stream.encode(frame))
    with pytest.raises(MediaError) as caught:
        read_audio(span(clip))
    assert caught.value.status == Status.OVERLONG
    late = 3 * 3600.0
    assert pitches(read_audio(span(clip, late, late + 3.0))) == [300] * 4 + [400] * 4 + [500] * 4


@needs_ffmpeg
def test_an_edit_list_is_the_file_s_clock(tmp_path: Path) -> None:
    whole = write_clip(
        tmp_path / "whole.mp4", levels(20), rising(10)[None], fps=2, video_options={"bf": "0"}, rate=48_000
    )
    ffmpeg("-ss", "2.3", "-i", whole, "-c", "copy", "-t", "5", tmp_path / "a.mp4")
    found, reference = read_audio(span(tmp_path / "a.mp4")), heard_by_stamps(tmp_path / "a.mp4")
    size = min(len(found), len(reference))
    assert abs(len(found) - len(reference)) < 0.05 * RATE
    assert np.corrcoef(found[1000 : size - 1000], reference[1000 : size - 1000])[0, 1] > 0.99
    assert len(read_audio(span(tmp_path / "a.mp4", 3.0, 4.5))) == 1.5 * RATE


@needs_field
class TestFieldCases:
    def test_a_line_that_loses_packets(self) -> None:
        assert pitches(read_audio(span(FIELD / "t1_loss.ts", 12.0, 14.0)), 0.5) == [1500] * 2 + [1600] * 2
        samples = read_audio(span(FIELD / "t1_loss.ts", 17.0, 19.0))
        assert len(samples) == 2 * RATE
        assert pitches(samples, 0.5) == [2000] * 2 + [2100] * 2

    def test_five_seconds_without_packets(self) -> None:
        found = pitches(read_audio(span(FIELD / "t1_gap_5_to_10.mp4", 10.5, 13.5)), 0.5)
        assert found == [1300, 1400, 1400, 1500, 1500, 1600]
