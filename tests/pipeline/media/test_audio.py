"""Sound from media files: any rate and layout as 16 kHz mono, cut to the sample; every bad file a typed failure."""

import os
import struct
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from bigfusion.pipeline.errors import ExtractionError, MediaError
from bigfusion.pipeline.media.audio import LARGEST, read_audio
from bigfusion.pipeline.media.riff import plain_pcm
from bigfusion.pipeline.schema import Status
from tests.helpers.clip_maker import levels, sine, span, write_clip


def failure(path: Path, **limits: float) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read_audio(span(path), **limits)
    assert path.name in caught.value.reason
    return caught.value


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_any_rate_becomes_16_khz_of_the_same_length(tmp_path: Path, rate: int) -> None:
    seconds = 0.7301
    path = write_clip(tmp_path / "a.wav", sound=sine(seconds, rate)[None], rate=rate, audio="pcm_f32le")
    samples = read_audio(span(path))
    assert samples.dtype == np.float32
    assert samples.shape == (round(round(seconds * rate) * 16000 / rate),)
    expected = sine(seconds, 16000)
    middle = slice(400, len(samples) - 400)
    np.testing.assert_allclose(samples[middle], expected[middle], atol=2e-3)


def resampled_whole(path: Path, rate: int = 16_000) -> np.ndarray:
    """The slow form: every frame decoded, then resampled in one call."""
    with av.open(str(path)) as container:
        fifo = av.AudioFifo()
        for frame in container.decode(audio=0):
            frame.pts = None
            fifo.write(frame)
    whole = fifo.read(0)
    resampler = av.AudioResampler("flt", "mono", rate, options={"rematrix_maxval": "1"})
    blocks = [block.to_ndarray()[0] for part in (whole, None) for block in resampler.resample(part)]
    return np.concatenate(blocks)[: round(whole.samples * rate / whole.sample_rate)]


@pytest.mark.parametrize(
    ("name", "audio", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 16_000, "mono"),
        ("a.wav", "pcm_s16le", 48_000, "stereo"),
        ("a.wav", "pcm_f32le", 44_100, "5.1"),
        ("a.flac", "flac", 96_000, "stereo"),
        ("a.mp4", "aac", 44_100, "stereo"),
        ("a.mp3", "libmp3lame", 11_025, "mono"),
    ],
)
def test_blocks_are_the_whole_to_the_bit(tmp_path: Path, name: str, audio: str, rate: int, layout: str) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (av.AudioLayout(layout).nb_channels, round(3.3 * rate)))
    path = write_clip(tmp_path / name, sound=sound, rate=rate, layout=layout, audio=audio)
    whole = np.clip(resampled_whole(path), -1, LARGEST)
    for start, end in ((None, None), (0.7, 2.9), (0.95, None), (0.0, 0.31)):
        begin, stop = round((start or 0) * 16_000), None if end is None else round(end * 16_000)
        np.testing.assert_array_equal(read_audio(span(path, start, end)), whole[begin:stop])


def test_what_lies_before_a_span_is_not_kept(tmp_path: Path) -> None:
    """Three minutes of FLAC, which is decoded from its beginning: 11.5 MB as 16 kHz samples."""
    path = write_clip(tmp_path / "a.flac", sound=sine(180, 8000)[None], rate=8000, audio="flac")
    tracemalloc.start()
    try:
        samples = read_audio(span(path, 175.0, 180.0))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert samples.size == 5 * 16_000
    assert most < 4_000_000


def test_a_plain_wav_is_told_by_its_header(tmp_path: Path) -> None:
    def says_all(name: str, audio: str, sound: np.ndarray | None = None, layout: str = "stereo") -> bool:
        sound = np.full((2, 9000), 0.25, np.float32) if sound is None else sound
        return plain_pcm(write_clip(tmp_path / name, sound=sound, rate=48_000, layout=layout, audio=audio))

    assert says_all("a.wav", "pcm_s16le")
    assert says_all("b.wav", "pcm_f32le")
    assert says_all("c.wav", "pcm_s24le", np.zeros((6, 9000), np.float32), "5.1")  # extensible
    assert not says_all("d.wav", "adpcm_ima_wav")
    assert not says_all("e.mp4", "aac")
    (tmp_path / "f.wav").write_bytes(b"RIFF")
    assert not plain_pcm(tmp_path / "f.wav")
    plain = write_clip(tmp_path / "g.wav", sound=sine(1, 48_000)[None], rate=48_000, audio="pcm_s16le")
    content = bytearray(plain.read_bytes())
    content[200:204] = bytes.fromhex("fe7f0180")  # a frame of DTS begins like this
    plain.write_bytes(content)
    assert not plain_pcm(plain)


@pytest.mark.parametrize(
    ("layout", "channel", "share"),
    [
        ("mono", 0, 1.0),
        ("stereo", 0, 1 / 2),
        ("stereo", 1, 1 / 2),
        ("5.1(side)", 2, 1 / (1 + 2 * 0.5**0.5 + 2 * 0.5)),  # FFmpeg's weights: centre 1, front 0.707, side 0.5
        ("5.1(side)", 0, 0.5**0.5 / (1 + 2 * 0.5**0.5 + 2 * 0.5)),
        ("5.1(side)", 3, 0.0),  # the low-frequency channel is left out
    ],
)
def test_channels_are_mixed_not_chosen(tmp_path: Path, layout: str, channel: int, share: float) -> None:
    sound = np.zeros(({"mono": 1, "stereo": 2, "5.1(side)": 6}[layout], 16000), np.float32)
    sound[channel] = sine(1, 16000, level=0.8)
    path = write_clip(tmp_path / "a.wav", sound=sound, layout=layout, audio="pcm_f32le")
    samples = read_audio(span(path), silence_rms=0.0)
    assert np.abs(samples[1000:-1000]).max() == pytest.approx(0.8 * share, abs=2e-3)


@pytest.mark.parametrize("layout", ["2.1", "3.0", "quad", "5.0", "6.1", "7.1"])
def test_other_layouts_are_heard(tmp_path: Path, layout: str) -> None:
    channels = {"2.1": 3, "3.0": 3, "quad": 4, "5.0": 5, "6.1": 7, "7.1": 8}[layout]
    sound = np.repeat(sine(0.5, 16000)[None], channels, 0)
    path = write_clip(tmp_path / "a.wav", sound=sound, layout=layout, audio="pcm_f32le")
    assert np.abs(read_audio(span(path))).max() == pytest.approx(0.5, abs=0.01)


def test_full_scale_stays_below_one(tmp_path: Path) -> None:
    """openSMILE's cast to 16 bit would wrap +1.0 to -32768."""
    square = np.sign(sine(0.5, 16000)) * np.ones((2, 1), np.float32)
    path = write_clip(tmp_path / "a.wav", sound=square, layout="stereo", audio="pcm_f32le")
    samples = read_audio(span(path))
    assert samples.max() == np.float32(LARGEST)
    assert samples.min() == -1
    assert (samples * 32768).astype(np.int16).max() == 32767


def test_aac_in_mp4_at_44100_stereo(tmp_path: Path) -> None:
    sound = np.stack([sine(1, 44100), sine(1, 44100)])
    path = write_clip(tmp_path / "a.mp4", levels(25), sound, rate=44100, layout="stereo")
    samples = read_audio(span(path))
    assert abs(len(samples) - 16000) <= round(1024 * 16 / 44.1) + 1  # AAC ends on a whole block
    np.testing.assert_allclose(samples[2000:14000], sine(1, 16000)[2000:14000], atol=0.03)


class TestSpans:
    @pytest.fixture
    def noise(self, tmp_path: Path) -> Path:
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 4 * 16000)).astype(np.float32)
        return write_clip(tmp_path / "a.wav", sound=sound, audio="pcm_f32le")

    @pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.5, 3.25), (3.0, None), (None, 0.5), (2.9, 99.0)])
    def test_a_span_is_a_slice(self, noise: Path, start: float | None, end: float | None) -> None:
        whole = read_audio(span(noise))
        first, last = round((start or 0) * 16000), None if end is None else round(end * 16000)
        np.testing.assert_array_equal(read_audio(span(noise, start, end)), whole[first:last])

    def test_a_span_of_aac_starts_where_it_should(self, tmp_path: Path) -> None:
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 5 * 48000)).astype(np.float32)
        sound = np.convolve(sound[0], np.ones(24) / 24, "same").astype(np.float32)[None] * 3  # nothing above 8 kHz
        path = write_clip(tmp_path / "a.mp4", sound=sound, rate=48000)
        whole, part = read_audio(span(path)), read_audio(span(path, 2.5, 3.5))
        assert part.shape == (16000,)
        shifts = {lag: np.corrcoef(part[50:-50], whole[40050 + lag : 55950 + lag])[0, 1] for lag in range(-20, 21)}
        assert max(shifts, key=lambda lag: shifts[lag]) == 0
        assert shifts[0] > 0.98

    @pytest.mark.parametrize(("start", "end"), [(2.0, 2.0), (3.0, 1.0), (4.5, 5.0), (3.98, None)])
    def test_an_empty_or_tiny_span_is_too_short(self, noise: Path, start: float, end: float | None) -> None:
        with pytest.raises(MediaError) as caught:
            read_audio(span(noise, start, end))
        assert caught.value.status == Status.TOO_SHORT

    def test_the_limit_is_on_the_span_not_the_file(self, noise: Path) -> None:
        assert len(read_audio(span(noise, 1.0, 2.0), limit_seconds=1.0)) == 16000
        with pytest.raises(MediaError) as caught:
            read_audio(span(noise, 1.0, 2.5), limit_seconds=1.0)
        assert caught.value.status == Status.OVERLONG


class TestBadFiles:
    def test_missing(self, tmp_path: Path) -> None:
        assert failure(tmp_path / "gone.mp4").status == Status.MISSING_MEDIA

    @pytest.mark.parametrize("content", [b"", b"hello world" * 200, bytes(5000)])
    def test_not_media(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        assert failure(path).status == Status.CORRUPT_MEDIA

    def test_a_folder_or_a_pipe(self, tmp_path: Path) -> None:
        (tmp_path / "folder.mp4").mkdir()
        os.mkfifo(tmp_path / "pipe.mp4")  # opening it would wait for ever
        assert failure(tmp_path / "folder.mp4").status == Status.CORRUPT_MEDIA
        assert failure(tmp_path / "pipe.mp4").status == Status.CORRUPT_MEDIA

    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    @pytest.mark.parametrize("options", [{}, {"movflags": "+faststart"}])
    def test_truncated(self, tmp_path: Path, share: float, options: dict[str, str]) -> None:
        """With the index in front a cut file opens and simply ends early; without it, it does not open."""
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 48000)).astype(np.float32)
        path = write_clip(tmp_path / "a.mp4", sound=sound, container_options=options)
        content = path.read_bytes()
        path.write_bytes(content[: round(len(content) * share)] if share < 0.9 or not options else content[:-1500])
        if share == 0.9 and options:
            assert len(read_audio(span(path))) > 0.8 * 48000  # a lost tail of a few blocks loses no clip
        else:
            assert failure(path).status == Status.CORRUPT_MEDIA

    def test_a_damaged_file_is_never_taken_for_a_damaged_disk(self, tmp_path: Path) -> None:
        """FFmpeg says 'operation not permitted' of a seek in some truncated Matroska files."""
        content = write_clip(tmp_path / "a.mkv", sound=sine(10, 16_000)[None]).read_bytes()
        statuses = set()
        for share in range(2, 70, 2):
            path = tmp_path / f"{share}.mkv"
            path.write_bytes(content[: len(content) * share // 100])
            try:
                read_audio(span(path, 2.0, 9.9))
            except MediaError as error:
                statuses.add(error.status)
        assert Status.CORRUPT_MEDIA in statuses

    @pytest.mark.parametrize("share", [0.3, 0.6])
    def test_a_truncated_avi_under_a_span(self, tmp_path: Path, share: float) -> None:
        content = write_clip(tmp_path / "a.avi", sound=sine(10, 16_000)[None], audio="mp3").read_bytes()
        (tmp_path / "cut.avi").write_bytes(content[: round(len(content) * share)])
        assert read_audio(span(tmp_path / "a.avi", 2.0, 9.0)).size == pytest.approx(7 * 16_000, abs=1200)
        with pytest.raises(MediaError, match="truncated"):
            read_audio(span(tmp_path / "cut.avi", 2.0, 9.0))

    def test_truncated_wav(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.wav", sound=sine(2, 16000)[None], audio="pcm_s16le")
        path.write_bytes(path.read_bytes()[:20000])
        assert failure(path).status == Status.CORRUPT_MEDIA

    def test_a_missing_end_is_said(self, tmp_path: Path) -> None:
        plain = write_clip(tmp_path / "a.wav", sound=sine(2, 16000)[None], audio="pcm_s16le")
        plain.write_bytes(plain.read_bytes()[:-6000])
        notes: list[str] = []
        assert len(read_audio(span(plain, 0.5, 1.5), notes=notes)) == 16_000
        assert not notes
        assert len(read_audio(span(plain), notes=notes)) == 29_000
        assert notes == ["6000 bytes missing at the end"]
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 160_000)).astype(np.float32)
        coded = write_clip(tmp_path / "a.mp4", sound=sound, container_options={"movflags": "+faststart"})
        notes.clear()
        read_audio(span(coded), notes=notes)
        assert not notes
        coded.write_bytes(coded.read_bytes()[: -coded.stat().st_size // 20])
        read_audio(span(coded), notes=notes)
        assert notes == ["0.5 s missing at the end"]

    @pytest.mark.parametrize(("count", "status"), [(2, None), (20, Status.CORRUPT_MEDIA)])
    def test_damaged_blocks_are_tolerated_up_to_a_tenth(
        self, tmp_path: Path, count: int, status: Status | None
    ) -> None:
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 48000)).astype(np.float32)
        path = write_clip(tmp_path / "a.mp4", sound=sound)
        with av.open(str(path)) as container:
            packets = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
        content = bytearray(path.read_bytes())
        for position, size in packets[5 : 5 + count]:
            content[position : position + size] = b"\xff" * size
        path.write_bytes(content)
        if status is None:
            assert len(read_audio(span(path))) > 0.9 * 48000
        else:
            assert failure(path).status == status

    def test_no_audio(self, tmp_path: Path) -> None:
        assert failure(write_clip(tmp_path / "a.mp4", levels(5))).status == Status.NO_AUDIO

    def test_overlong_by_the_header(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", sound=sine(3, 16000)[None])
        error = failure(path, limit_seconds=2.0)
        assert error.status == Status.OVERLONG
        assert "2 s" in error.reason

    def test_overlong_against_the_header(self, tmp_path: Path) -> None:
        """Matroska states one length for the file; a wrong one must not smuggle hours in."""
        path = write_clip(tmp_path / "a.mkv", sound=sine(5, 16000)[None])
        content = path.read_bytes()
        before = b"\x44\x89\x88"  # Duration, eight bytes, in milliseconds
        at = content.index(before) + len(before)
        assert struct.unpack(">d", content[at : at + 8])[0] == pytest.approx(5000, abs=200)
        path.write_bytes(content[:at] + struct.pack(">d", 1000.0) + content[at + 8 :])
        assert failure(path, limit_seconds=2.0).status == Status.OVERLONG

    @pytest.mark.parametrize("sound", ["zero", "hum", "constant"])
    def test_silent(self, tmp_path: Path, sound: str) -> None:
        noise = np.random.default_rng(0).integers(-1, 2, 16000) / 32768
        samples = {"zero": np.zeros(16000), "hum": noise, "constant": np.full(16000, 0.3)}[sound]
        path = write_clip(tmp_path / "a.wav", sound=samples.astype(np.float32)[None], audio="pcm_f32le")
        assert failure(path).status == Status.SILENT

    def test_quiet_speech_is_not_silent(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.wav", sound=sine(1, 16000, level=0.001)[None], audio="pcm_f32le")
        assert len(read_audio(span(path))) == 16000

    @pytest.mark.parametrize(("milliseconds", "passes"), [(69, False), (70, True)])
    def test_too_short(self, tmp_path: Path, milliseconds: int, passes: bool) -> None:
        path = write_clip(tmp_path / "a.wav", sound=sine(milliseconds / 1000, 16000)[None], audio="pcm_f32le")
        if passes:
            assert len(read_audio(span(path))) == milliseconds * 16
        else:
            assert failure(path).status == Status.TOO_SHORT

    def test_samples_that_are_not_numbers(self, tmp_path: Path) -> None:
        sound = sine(1, 16000)[None].copy()
        sound[0, 500] = np.nan
        path = write_clip(tmp_path / "a.wav", sound=sound, audio="pcm_f32le")
        assert failure(path).status == Status.CORRUPT_MEDIA

    def test_the_time_limit_is_processor_time(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.mp4", sound=sine(20, 16000)[None])
        reason = failure(path, timeout_seconds=1e-4).reason
        assert "processor time" in reason
        assert "raise audio.timeout_seconds" in reason

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_what_the_system_refuses_is_no_property_of_the_clip(self, tmp_path: Path) -> None:
        path = write_clip(tmp_path / "a.wav", sound=sine(1, 16000)[None], audio="pcm_s16le")
        path.chmod(0)
        with pytest.raises(ExtractionError, match="Permission denied"):
            read_audio(span(path))

    def test_a_name_that_the_system_refuses(self, tmp_path: Path) -> None:
        with pytest.raises(ExtractionError, match="too long"):
            read_audio(span(tmp_path / ("a" * 300)))


class TestOnlyPlainLocalMedia:
    """What a file says must never make us read another one."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        return write_clip(tmp_path / "secret.mp4", levels(25), sine(1, 16000)[None])

    @pytest.mark.parametrize(
        "script",
        [
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile '{path}'\n",
            "ffconcat version 1.0\nfile secret.mp4\n",
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        ],
        ids=["playlist", "network playlist", "concat", "concat beside", "rtp", "dash"],
    )
    @pytest.mark.parametrize("suffix", ["mp4", "m3u8", "ffconcat", "wav"])
    def test_scripts_are_refused(self, tmp_path: Path, secret: Path, script: str, suffix: str) -> None:
        path = tmp_path / f"clip.{suffix}"
        path.write_text(script.format(path=secret))
        began = time.monotonic()
        assert failure(path).status == Status.CORRUPT_MEDIA
        assert time.monotonic() - began < 2

    @pytest.mark.parametrize(
        "name", ["-i.mp4", "--help.mp4", "http:--x.mp4", "concat:a|b.mp4", "%03d.mp4", "a b'\".mp4"]
    )
    def test_names_are_only_names(
        self, tmp_path: Path, secret: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / name).write_bytes(secret.read_bytes())
        monkeypatch.chdir(tmp_path)
        assert len(read_audio(span(Path(name)))) > 15000

    def test_an_address_is_a_missing_file(self) -> None:
        with pytest.raises(MediaError) as caught:
            read_audio(span(Path("http://127.0.0.1:9/a.mp4")))
        assert caught.value.status == Status.MISSING_MEDIA


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_clip(tmp_path / "a.mp4", levels(5), sine(1, 16000)[None])
    path.write_bytes(path.read_bytes()[:-400])
    failure(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8])
def test_wav_that_does_not_say_where_its_channels_belong(tmp_path: Path, channels: int) -> None:
    import wave

    sound = np.repeat((sine(0.5, 16000) * 32767).astype("<i2")[:, None], channels, 1)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(sound.tobytes())
    samples = read_audio(span(tmp_path / "a.wav"))
    np.testing.assert_allclose(samples, sine(0.5, 16000), atol=1e-3)
