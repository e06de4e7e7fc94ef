"""Media files with known content: pictures and sound as arrays, in any container and coding that PyAV writes."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from bigfusion.pipeline.schema import MediaSpan


def span(path: Path, start: float | None = None, end: float | None = None, crop: str = "") -> MediaSpan:
    """A span of a file that ingest saw."""
    return MediaSpan(path, "0" * 64, start, end, crop)


def sine(seconds: float, rate: int, pitch: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A tone, (n,) float32."""
    return (level * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_clip(
    path: Path,
    frames: Sequence[np.ndarray] = (),
    sound: np.ndarray | None = None,
    *,
    fps: int = 25,
    rate: int = 16_000,
    layout: str = "mono",
    video: str = "libx264",
    audio: str = "aac",
    video_options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Write ``frames`` (RGB, (H, W, 3) uint8) and ``sound`` ((channels, n) float32 at ``rate``) to ``path``."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        picture = container.add_stream(video, rate=fps, options=video_options or {}) if len(frames) else None
        voice = container.add_stream(audio, rate=rate, layout=layout) if sound is not None else None
        if picture is not None:
            picture.height, picture.width = frames[0].shape[:2]
            picture.pix_fmt = "yuv420p"
            if aspect is not None:
                picture.codec_context.sample_aspect_ratio = aspect
            for number, array in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, fps)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if voice is not None and sound is not None:
            packed = np.ascontiguousarray(sound.T, np.float32).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(voice.format, layout, rate, frame_size=voice.codec_context.frame_size or 0)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(voice.encode(part))
            container.mux(voice.encode(None))
    return path


def levels(count: int, height: int = 64, width: int = 96, step: int = 5) -> list[np.ndarray]:
    """Flat grey frames, each of its own brightness: frame i is ``20 + step * i`` (below 256)."""
    return [np.full((height, width, 3), 20 + step * number, np.uint8) for number in range(count)]
