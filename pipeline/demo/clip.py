"""A media file like MELD's: H.264 and AAC in MP4. On one machine, it has the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from bigfusion.pipeline.atomic import write_whole

Samples = NDArray[np.float32]
Picture = NDArray[np.uint8]

BITS_PER_CHANNEL = 56_000  # AAC, bits per second
AAC_FRAME = 1024  # samples


def write_clip(
    path: Path,
    frames: Sequence[Picture],
    fps: int,
    sound: tuple[Samples, int] | None,
    sample_rate: int = 48_000,
    layout: str = "mono",
) -> None:
    """Write what :func:`encoded` makes of the same arguments, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_whole(path, encoded(frames, fps, sound, sample_rate, layout))


def encoded(
    frames: Sequence[Picture],
    fps: int,
    sound: tuple[Samples, int] | None,
    sample_rate: int = 48_000,
    layout: str = "mono",
) -> bytes:
    """Pictures and sound as an MP4 file's bytes.

    Args:
        frames: one RGB picture (height, width, 3) or more, of one even size.
        fps: frames a second.
        sound: mono samples (S,) in [-1, 1] and their rate in Hz; ``None`` makes a file without an audio stream.
        sample_rate: of the file, in Hz.
        layout: of the file: ``mono``, ``stereo`` (the sound on both) or ``5.1`` (the sound in the centre, as films
            have their dialogue).
    """
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        pictures = _h264(container, fps, *frames[0].shape[:2])
        speech = None if sound is None else _aac(container, sample_rate, layout)
        _film(container, pictures, frames)
        if sound is not None:
            _record(container, speech, resampled(*sound, sample_rate), layout)
    return buffer.getvalue()


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """Resample mono ``samples`` (S,) from ``rate`` Hz to ``wanted`` Hz. The duration stays, to the nearest sample."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None], np.float32), format="flt", layout="mono")
    frame.sample_rate = rate
    parts = [part.to_ndarray()[0] for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(parts)[: round(len(samples) * wanted / rate)]


def _h264(container: Any, fps: int, height: int, width: int) -> Any:
    """A video stream that depends only on its pictures: one thread, no version strings."""
    stream = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "26", "threads": "1"})
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _aac(container: Any, sample_rate: int, layout: str) -> Any:
    stream = container.add_stream("aac", rate=sample_rate, layout=layout)
    stream.bit_rate = BITS_PER_CHANNEL * {"mono": 1, "stereo": 2, "5.1": 3}[layout]  # most of 5.1 is silent
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _film(container: Any, stream: Any, frames: Sequence[Picture]) -> None:
    for number, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = number
        frame.time_base = Fraction(1) / stream.codec_context.rate
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _record(container: Any, stream: Any, samples: Samples, layout: str) -> None:
    channels = {"mono": [0], "stereo": [0, 1], "5.1": [2]}[layout]  # 5.1: left, right, centre, low, back left, right
    sound = np.zeros((stream.codec_context.channels, len(samples)), np.float32)
    sound[channels] = samples
    for start in range(0, len(samples), AAC_FRAME):
        block = np.ascontiguousarray(sound[:, start : start + AAC_FRAME])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate = stream.codec_context.sample_rate
        frame.pts = start
        frame.time_base = Fraction(1, frame.sample_rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
