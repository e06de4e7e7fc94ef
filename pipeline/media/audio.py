"""PyAV: a span of a media file as 16 kHz mono samples. Everything else is a typed failure.

One thread decodes one span; PyAV releases the GIL meanwhile, so that callers run spans side by side. Times are seconds
from the file's first timestamp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.media.source import Source, opened
from bigfusion.pipeline.schema import MediaSpan, Status

LARGEST = 1.0 - 2.0**-15
"""The largest sample handed out: openSMILE casts to 16 bit without clipping, and +1.0 would become -32768."""

BLOCK = 1 << 14
"""Samples that are resampled at once: a call costs more than a packet of a thousand samples does."""

MONO = ("mono", "1 channels")
"""FFmpeg's names of a single channel; the second where a wav file does not say where it belongs."""


def read_audio(
    span: MediaSpan,
    rate: int = 16_000,
    limit_seconds: float = 60.0,
    min_seconds: float = 0.07,
    silence_rms: float = 1e-4,
    timeout_seconds: float = 60.0,
) -> NDArray[np.float32]:
    """A span's sound: float32 (n,), mono, ``rate`` samples a second, within [-1, 1).

    Channels are mixed down with FFmpeg's weights, scaled so that no mix can exceed full scale. ``silence_rms`` is the
    least root mean square about the mean that counts as sound (1e-4 is -80 dB of full scale, three steps of 16 bit).
    ``timeout_seconds`` is processor time.

    Raises:
        MediaError: missing_media, corrupt_media, no_audio, overlong, too_short or silent.
        ItemError: the file is there but the system cannot read it (permission, disk).
    """
    with opened(span) as container:
        source = Source(container, span, "audio", limit_seconds, timeout_seconds)
        samples = _decode_audio(source, rate)
    if not np.isfinite(samples).all():
        raise source.corrupt("samples that are numbers", "NaN or infinity among them")
    if samples.size < min_seconds * rate:
        raise source.error(Status.TOO_SHORT, f"at least {min_seconds:g} s of sound", f"{samples.size / rate:.3f} s")
    if (rms := float(samples.std(dtype=np.float64))) < silence_rms:
        raise source.error(Status.SILENT, f"sound (root mean square of {silence_rms:g} or more)", f"{rms:.2g}")
    return np.clip(samples, -1.0, LARGEST)


def _decode_audio(source: Source, rate: int) -> NDArray[np.float32]:
    """The span's samples, cut to the sample. Shape: (n,) float32, any range."""
    # Without rematrix_maxval FFmpeg does not scale a mix to float: two loud channels would exceed full scale.
    resampler = av.AudioResampler("flt", "mono", rate, options={"rematrix_maxval": "1"})
    fifo = av.AudioFifo()
    kept: list[NDArray[np.float32]] = []
    first, heard, native, made, begin = math.nan, 0, rate, 0, 0

    def keep(samples: NDArray[np.float32]) -> None:
        """Keep what lies in the span: a file without an index is decoded from its beginning."""
        nonlocal made
        if made + samples.size > begin:
            kept.append(samples[max(begin - made, 0) :])
        made += samples.size

    def resample(frame: Any) -> None:
        if (already := _as_wanted(frame, rate)) is not None:
            keep(already)
            return
        for block in resampler.resample(frame):
            keep(block.to_ndarray()[0])

    source.seek(source.start)
    for frame in _frames(source):
        if math.isnan(first):
            first, native = 0.0 if frame.pts is None else source.seconds(frame.pts), frame.sample_rate
            begin = max(round((source.start - first) * rate), 0)
        heard += frame.samples
        frame.pts = None  # samples follow one another, whatever their timestamps say
        try:
            fifo.write(frame)
        except ValueError:
            raise source.corrupt("one sample rate and channel layout", "a change within the stream") from None
        while (block := fifo.read(BLOCK)) is not None:
            resample(block)
        source.check_reached(first + heard / native)
    if not heard:
        raise source.corrupt("sound that decodes", "none")
    source.check_complete(first + heard / native)
    if (rest := fifo.read(0, partial=True)) is not None:
        resample(rest)
    resample(None)
    # The resampler's tail runs a few samples over the input's end.
    stop = round(heard * rate / native)
    if not math.isinf(source.end):
        stop = min(stop, max(round((source.end - first) * rate), begin))
    return np.concatenate(kept)[: max(stop - begin, 0)] if kept else np.zeros(0, np.float32)


def _as_wanted(frame: Any, rate: int) -> NDArray[np.float32] | None:
    """The samples of 16-bit mono at ``rate``, as the resampler would give them, without what it costs to set up."""
    if frame is None or frame.format.name != "s16" or frame.layout.name not in MONO or frame.sample_rate != rate:
        return None
    samples: NDArray[np.int16] = frame.to_ndarray()[0]
    return samples * np.float32(2.0**-15)


def _frames(source: Source) -> Iterator[Any]:
    """Every frame of the span, the decoder drained."""
    for packet in source.packets():
        yield from source.decode(packet)
    yield from source.decode(None)
