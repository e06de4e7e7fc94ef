"""Real media files of a few kilobytes: H.264 + AAC in mp4, MPEG-4 in avi, PCM in wav."""

import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

RATE, FPS, WIDTH, HEIGHT = 16000, 10, 64, 48


def tone(seconds: float, pitch: float = 220.0) -> np.ndarray:
    """A sine of int16 samples, shape (1, samples)."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)[None, :]


def write_clip(
    path: Path, seconds: float = 0.3, pitch: float = 220.0, codecs: tuple[str, ...] = ("libx264", "aac")
) -> Path:
    """A clip of noise and a tone; ``codecs`` names the video codec, the audio codec, or one of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.suffix, seconds, pitch, codecs))
    return path


@cache
def _encoded(suffix: str, seconds: float, pitch: float, codecs: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip{suffix}")
        _encode(path, seconds, pitch, codecs)
        return path.read_bytes()


def _encode(path: Path, seconds: float, pitch: float, codecs: tuple[str, ...]) -> None:
    noise = np.random.default_rng(int(pitch))
    with av.open(str(path), "w") as container:
        streams = [
            container.add_stream(codec, rate=RATE if codec in ("aac", "mp3", "pcm_s16le") else FPS) for codec in codecs
        ]
        for stream in streams:
            if stream.type == "video":
                stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
                for number in range(max(1, int(seconds * FPS))):
                    image = noise.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
                    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                    frame.pts, frame.time_base = number, Fraction(1, FPS)
                    container.mux(stream.encode(frame))
            else:
                frame = av.AudioFrame.from_ndarray(tone(seconds, pitch), format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
                resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size or 0)
                for part in [*resampler.resample(frame), *resampler.resample(None)]:
                    container.mux(stream.encode(part))
            container.mux(stream.encode(None))


def write_wav(path: Path, seconds: float = 0.3, pitch: float = 220.0) -> Path:
    """A tone as 16-bit PCM."""
    return write_clip(path, seconds, pitch, ("pcm_s16le",))


def write_aac(path: Path) -> Path:
    """Two seconds of noise and eight of silence, as AAC without a container: FFmpeg guesses fewer than six seconds."""
    noise = np.random.default_rng(0).integers(-8000, 8000, 2 * RATE, dtype=np.int16)
    with av.open(str(path), "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.pad(noise, (0, 8 * RATE))[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def write_avi(path: Path, seconds: float = 0.5, pitch: float = 220.0) -> Path:
    """Video alone, as IEMOCAP's DivX files hold it."""
    return write_clip(path, seconds, pitch, ("mpeg4",))
