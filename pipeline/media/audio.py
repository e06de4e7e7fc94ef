"""Reads a span of a media file as 16 kHz mono samples, with PyAV. Whatever goes wrong is a typed failure.

One thread decodes one span. PyAV releases the GIL meanwhile, so callers run spans side by side. Times are seconds from
the file's first timestamp. Samples lie where their timestamps say (:mod:`pipeline.media.clock`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.media.channels import Channels, Mix, is_placeless, packed, single
from bigfusion.pipeline.media.clock import HARD, Piece, is_lost, placed
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.media.float_scale import scale_of
from bigfusion.pipeline.media.source import Source
from bigfusion.pipeline.schema import MediaSpan, Status

LARGEST = 1.0 - 2.0**-15
"""The largest sample that is returned. openSMILE casts to 16 bit without clipping, so +1.0 would become -32768."""

BLOCK = 1 << 14
"""Samples that are resampled in one call. A call costs more than the resampling of a packet of a thousand samples."""

CUT = 0.001
"""It is noted if this share of the samples or more is cut at full scale."""

BEGIN = 0.001
"""Sound may begin this many seconds late without silence being put before it: FFmpeg's ``min_comp``."""

NEAR = 0.0002
"""Seconds by which a timestamp may differ from whole frames, if it cannot tell samples; one of its units, if that is
more. Where frames share a packet, as in transport streams, their timestamps are sums of rounded lengths.
"""

DELAY = 3
"""Frames that a decoder keeps back at a stream's beginning, at most."""

VARIABLE = {"vorbis"}
"""The codings whose frames have no common length."""

MONO = ("mono", "1 channels")
"""FFmpeg's names of a single channel. It uses the second for a wav file that does not say where the channel belongs."""


def read_audio(
    span: MediaSpan,
    rate: int = 16_000,
    limit_seconds: float = 60.0,
    min_seconds: float = 0.07,
    silence_rms: float = 1e-4,
    timeout_seconds: float = 60.0,
    notes: list[str] | None = None,
) -> NDArray[np.float32]:
    """A span's sound: float32 (n,), mono, ``rate`` samples a second, within [-1, 1).

    Channels are mixed with FFmpeg's weights, scaled so that no mix can exceed full scale, unless the span names a
    channel; more than two without a layout are mixed equally. Gaps in the timestamps become silence. ``silence_rms`` is
    the smallest root mean square about the mean that counts as sound (1e-4 is -80 dB of full scale, three steps of 16
    bit). ``timeout_seconds`` is processor time.
    Decisions on the way are appended to ``notes``: gaps filled, numbers scaled or cut, channels and tracks chosen.

    Raises:
        MediaError: missing_media, corrupt_media, no_audio, overlong, too_short or silent.
        ItemError: the file is there but the system cannot read it (permission, disk).
    """
    sound = _read(span, rate, limit_seconds, timeout_seconds, Mix(span.channel))
    if (other := sound.channels.better(sound.samples, silence_rms)) is not None:
        sound = _read(span, rate, limit_seconds, timeout_seconds, other)
    source, samples, said = sound.source, sound.samples, _said(span, sound)
    if not np.isfinite(samples).all():
        raise source.corrupt("samples that are numbers", "NaN or infinity among them")
    if sound.float_numbers and (scale := scale_of(span, samples)) != 1:
        samples = samples * np.float32(scale)
        said.append("scaled")
    if samples.size < min_seconds * rate:
        raise source.error(Status.TOO_SHORT, f"at least {min_seconds:g} s of sound", f"{samples.size / rate:.3f} s")
    if (rms := float(samples.std(dtype=np.float64))) < silence_rms:
        gap = f", {sound.gaps:.1f} s of it without any timestamp" if sound.gaps >= HARD else ""
        raise source.error(Status.SILENT, f"sound (root mean square of {silence_rms:g} or more)", f"{rms:.2g}{gap}")
    if (cut := float(np.mean(np.abs(samples) > 1))) >= CUT:
        said.append(f"cut at full scale {100 * cut:.1f} %")
    if notes is not None:
        notes.extend(said)
    return np.clip(samples, -1.0, LARGEST)


def chosen(span: MediaSpan, track: int | None, channel: int | None) -> MediaSpan:
    """A span with the settings' track and channel, if the table names none."""
    return replace(span, track=span.track or track, channel=span.channel or channel)


def _said(span: MediaSpan, sound: _Sound) -> list[str]:
    """The notes on a span's sound: choices that the span left open, filled gaps, a missing end, a wrong header."""
    source, said = sound.source, sound.source.notes()
    if note := sound.channels.note(span.channel is not None):
        said.append(note)
    if sound.gaps >= HARD / 2:
        said.append(f"gap filled {sound.gaps:.1f} s")
    if source.understated:
        said.append("header counts fewer samples than there are")
    return said


@dataclass
class _Sound:
    """A span's samples (n,), any range, and what the reader met; ``gaps`` in seconds within the span."""

    source: Source
    channels: Channels
    float_numbers: bool
    samples: NDArray[np.float32]
    gaps: float


def _read(span: MediaSpan, rate: int, limit: float, timeout: float, mix: Mix) -> _Sound:
    """The span's sound. If a late span cannot be entered, the file is read from its beginning."""
    for late in (True, False):
        with opened(span) as container:
            source = Source(container, span, "audio", limit, timeout)
            if not late or source.enter():
                reader = _Reader(source, rate, mix)
                if late and not reader.is_settled:
                    continue
                samples = reader.read()
                return _Sound(source, reader.channels, reader.float_numbers, samples, reader.gaps)
    raise AssertionError("the second time it is read from the beginning")


class _Reader:
    """Decodes a span, puts its frames where they belong, mixes and resamples them, and cuts to the sample.

    ``_origin`` is the moment of the first sample that is fed. ``_fed`` is the number of samples fed, at the file's own
    rate. ``_begin`` and ``_end`` are the span's bounds among the output samples.
    """

    def __init__(self, source: Source, rate: int, mix: Mix) -> None:
        self._source, self._rate, self._mix = source, rate, mix
        self._pieces = _pieces(source)
        self._heads = list(islice(self._pieces, 2))
        self._like: Any = None  # any frame of the stream
        self._native, self._common = rate, 1
        self.gaps = 0.0
        self.float_numbers = False
        self.channels = Channels(mix)
        # Without rematrix_maxval FFmpeg does not scale a mix to float: two loud channels would exceed full scale.
        self._resampler = av.AudioResampler("flt", "mono", rate, options={"rematrix_maxval": "1"})
        self._fifo = av.AudioFifo()
        self._kept: list[NDArray[np.float32]] = []
        self._fed = self._mixed = self._made = 0
        self._origin, self._begin, self._end = 0.0, 0, math.inf

    @property
    def is_settled(self) -> bool:
        """Whether the decoder of a file that was entered gives sound before the span begins."""
        stamp = self._heads[0].stamp if self._heads else None
        return not self._source.entered or (stamp is not None and stamp <= self._source.start)

    def read(self) -> NDArray[np.float32]:
        """Shape: (n,) float32, any range."""
        source = self._source
        if not self._heads:
            if source.beyond is not None:
                raise source.error(source.absent, "sound within the span", f"its first at {source.beyond:.2f} s")
            raise source.corrupt("sound that decodes", "none")
        head = self._heads[0]
        self._like, self._native = head.frame, head.frame.sample_rate
        coding = source.stream.codec_context.name
        self.float_numbers = coding.startswith(("pcm_f", "wavpack")) and head.frame.format.name[:3] in ("flt", "dbl")
        self._common = math.gcd(self._native, self._rate)
        count = self._like.layout.nb_channels
        if self._mix.channel is not None and not 1 <= self._mix.channel <= count:
            raise source.error(source.absent, f"channel {self._mix.channel}", f"{count} of them")
        for number, (frame, begin, shift) in enumerate(placed(chain(self._heads, self._pieces), self._native)):
            if not number:
                self._start(begin)
            if shift > 0:
                self._silence(shift)
            self._feed(frame, max(-shift, 0))
            source.check_reached(self._reached)
        if source.beyond is not None:  # fill the gap between the last sample and a packet that begins after the span
            missing = source.beyond - self._reached
            if is_lost(missing, self._like.samples / self._native) and source.end > self._reached:
                self._silence(round((source.end - self._reached) * self._native))
        source.check_complete(self._reached)
        if (rest := self._fifo.read(0, partial=True)) is not None:
            self._resample(rest)
        self._resample(None)
        return self._cut()

    @property
    def _reached(self) -> float:
        """The moment up to which samples have been fed."""
        return self._origin + self._fed / self._native

    def _start(self, first: float) -> None:
        """Set the span's place among the output samples; ``first`` is the moment of the first decoded sample."""
        source, rate = self._source, self._rate
        late = self._count(first - source.sound_begin)
        first = source.sound_begin + late / self._native
        start = source.start if source.start < first - BEGIN else max(source.start, first)
        whole = self._native // self._common
        # Use the grid of the whole file's resampling, so that the same samples come out, to the bit.
        steps = math.floor(min(late, (start - source.sound_begin) * self._native) / whole)
        self._origin = source.sound_begin + steps * whole / self._native
        before = steps * (rate // self._common)
        self._begin = round((start - source.sound_begin) * rate) - before
        if math.isinf(source.end):
            self._end = math.inf
        else:
            self._end = max(round((source.end - source.sound_begin) * rate) - before, self._begin)
        if late > steps * whole:
            self._silence(late - steps * whole)

    def _count(self, seconds: float) -> int:
        """The number of samples before the first frame. If timestamps cannot tell samples, whole frames are counted.

        But not where the sound lies further from whole frames than rounding explains: there is a gap before it. Nor
        where a stream that is read from its beginning does not begin where FFmpeg says, decoders' delay aside.
        """
        stream, count = self._source.stream, seconds * self._native
        frame = max(piece.samples for piece in self._heads)  # the first one may be a part
        is_exact = (1 / (stream.time_base * self._native)).denominator == 1
        is_elsewhere = not self._source.entered and count > DELAY * frame
        if is_exact or is_elsewhere or stream.codec_context.name in VARIABLE:
            return round(count)
        whole = round(count / frame) * frame
        near = max(float(stream.time_base), NEAR) * self._native
        return whole if abs(whole - count) < near + 1e-3 else round(count)

    def _silence(self, count: int) -> None:
        """Feed ``count`` samples of silence. Those within the span count as a gap."""
        source, begin = self._source, self._reached
        source.check_reached(begin + count / self._native)
        self.gaps += max(min(begin + count / self._native, source.end) - max(begin, source.start), 0.0)
        if begin + count / self._native < source.start:  # hours before the span need not be resampled
            whole = self._native // self._common
            steps = max(count - 2 * self._native, 0) // whole
            count -= steps * whole
            self._origin += steps * whole / self._native
            self._begin -= steps * (self._rate // self._common)
            self._end -= steps * (self._rate // self._common)
        while count > 0:
            block = min(count, BLOCK)
            self._feed(_blank(self._like, block))
            count -= block

    def _feed(self, frame: Any, cut: int = 0) -> None:
        """Feed a frame's samples, without the first ``cut`` of them."""
        stop = frame.samples
        if self._source.sound_end is not None:  # FFmpeg cuts there too, except after a seek into the file
            left = round((self._source.sound_end - self._origin) * self._native) - self._fed
            stop = min(stop, cut + max(left, 0))
        if cut >= stop:
            return
        if cut or stop < frame.samples:
            frame = _part(frame, cut, stop)
        self._fed += frame.samples
        frame.pts = None  # its place is known
        try:
            self._fifo.write(frame)
        except ValueError:
            raise self._source.corrupt("one sample rate and channel layout", "a change within the stream") from None
        while (block := self._fifo.read(BLOCK)) is not None:
            self._resample(block)

    def _resample(self, frame: Any) -> None:
        if frame is not None:
            self._mixed += frame.samples
            if self._origin + self._mixed / self._native > self._source.start:
                self.channels.add(frame)
            if self._mix != Mix() or is_placeless(frame):
                frame = single(frame, self._mix)
        if (already := _as_wanted(frame, self._rate)) is not None:
            self._keep(already)
            return
        for block in self._resampler.resample(frame):
            self._keep(block.to_ndarray()[0])

    def _keep(self, samples: NDArray[np.float32]) -> None:
        """Keep the samples inside the span: a file without an index is decoded from its beginning."""
        if self._made + samples.size > self._begin:
            self._kept.append(samples[max(self._begin - self._made, 0) :])
        self._made += samples.size

    def _cut(self) -> NDArray[np.float32]:
        """The kept samples, up to the span's end. The resampler's tail runs a few samples beyond the input."""
        stop = int(min(round(self._fed * self._rate / self._native), self._end))
        return np.concatenate(self._kept)[: max(stop - self._begin, 0)] if self._kept else np.zeros(0, np.float32)


def _pieces(source: Source) -> Iterator[Piece]:
    """Every frame of the span, including those left in the decoder."""
    begun = False
    for packet in chain(source.packets(), [None]):
        for frame in map(packed, source.decode(packet)):
            stamp = source.seconds(frame.pts) if frame.pts is not None and (source.has_stamps or not begun) else None
            begun = True
            if stamp is not None and stamp + frame.samples / frame.sample_rate < source.settled:
                continue
            yield Piece(stamp, frame.samples, frame)


def _blank(like: Any, samples: int) -> Any:
    """A frame of silence in the format of another frame."""
    array = like.to_ndarray()
    shape = (len(array), samples if like.format.is_planar else samples * like.layout.nb_channels)
    return _frame(np.full(shape, 128 if like.format.name.startswith("u8") else 0, array.dtype), like)


def _part(frame: Any, begin: int, end: int) -> Any:
    """A part of a frame: its samples from one index to another."""
    width = 1 if frame.format.is_planar else frame.layout.nb_channels
    return _frame(np.ascontiguousarray(frame.to_ndarray()[:, begin * width : end * width]), frame)


def _frame(array: NDArray[Any], like: Any) -> Any:
    made = av.AudioFrame.from_ndarray(array, format=like.format.name, layout=like.layout.name)
    made.sample_rate = like.sample_rate
    return made


def _as_wanted(frame: Any, rate: int) -> NDArray[np.float32] | None:
    """16-bit mono samples at ``rate``, the same as from the resampler, without the cost of setting one up."""
    if frame is None or frame.format.name != "s16" or frame.layout.name not in MONO or frame.sample_rate != rate:
        return None
    samples: NDArray[np.int16] = frame.to_ndarray()[0]
    return samples * np.float32(2.0**-15)
