"""Float samples outside the scale of +-1: numbers of 16, 24 or 32 bit that were written as floats, unit variance."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import MediaError
from bigfusion.pipeline.media.channels import packed
from bigfusion.pipeline.media.container import opened
from bigfusion.pipeline.schema import MediaSpan, Status

MILD = 8.0
"""Sound whose largest sample is at most this (18 dB above full scale) may be only too loud in places. These are cut."""

OVERSHOOT = 1.25
"""Samples up to this are what a resampler makes of sound that was cut at full scale before."""

RARE = 0.01
"""A file is not on the scale of +-1 if this share of its samples or more lies beyond the overshoot. Sound of unit
variance has a tenth there.
"""

LOUD = 0.05
"""The same of a span alone, which may be a shout in a quiet recording."""

CLEAR = 100.0
"""From this largest sample on, only another scale explains the numbers."""

SCALES = ((2.0**16, 2.0**-15), (2.0**24, 2.0**-23), (2.0**33, 2.0**-31))
"""Pairs of a largest sample and the scale that it implies: 16, 24 and 32 bit, with room for a resampler's overshoot."""

SCANNED = 1 << 28
"""Files up to this many bytes are searched even if the span looks right. Larger files are searched only if it does not.
"""

KEPT = 64


class Numbers(NamedTuple):
    """All samples of a file: the largest, and whether all of them are whole numbers.

    Of the chosen channel's, or of all: the largest, and the share of those that are too large to be an overshoot.
    """

    peak: float
    whole: bool
    chosen_peak: float
    beyond: float


_Key = tuple[str, int, int, int | None, int | None]
_kept: OrderedDict[_Key, Numbers] = OrderedDict()
_lock = threading.Lock()


def scale_of(span: MediaSpan, samples: NDArray[np.float32]) -> float:
    """The factor for a span's samples. All spans of a file have the same factor, the quiet ones too.

    A chosen channel is not judged by what another channel holds, unless a sound card's scale is that of the file.

    Raises:
        MediaError: corrupt_media if the samples are on no known scale.
    """
    stat = span.path.stat()
    peak = float(np.abs(samples).max(initial=0.0))
    if stat.st_size > SCANNED and peak <= 1 and not _whole(samples):
        return 1.0
    numbers = _numbers(span, (str(span.path.absolute()), stat.st_size, stat.st_mtime_ns, span.track, span.channel))
    peak = numbers.peak if numbers.whole or numbers.peak >= CLEAR else numbers.chosen_peak
    if peak <= 1 or (peak <= MILD and not numbers.whole):
        here = float(np.mean(np.abs(samples) > OVERSHOOT)) if samples.size else 0.0
        if numbers.beyond >= RARE or here >= LOUD:
            raise _unknown(span, f"{100 * max(numbers.beyond, here):.1f} % of them beyond, up to {peak:.4g}")
        return 1.0
    scale = next((scale for most, scale in SCALES if peak <= most), None)
    if scale is None or (peak < CLEAR and not numbers.whole):
        raise _unknown(span, f"{peak:.4g}")
    return scale


def _unknown(span: MediaSpan, found: str) -> MediaError:
    return MediaError(
        Status.CORRUPT_MEDIA, f"{span.path.name}: expected float samples within +-1, found {found}; scale them to +-1"
    )


def _whole(samples: NDArray[np.floating]) -> bool:
    return bool(np.array_equal(samples, np.rint(samples)))


def _numbers(span: MediaSpan, key: _Key) -> Numbers:
    with _lock:
        if key not in _kept:
            _kept[key] = _scanned(span)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return _kept[key]


def _scanned(span: MediaSpan) -> Numbers:
    peak, whole, chosen_peak, beyond, count = 0.0, True, 0.0, 0, 0
    with opened(span) as container:
        audio = container.streams.audio
        stream = audio[span.track - 1] if span.track else container.streams.best("audio")
        for frame in container.decode(stream):
            made = packed(frame)
            sound = made.to_ndarray()
            if not made.format.is_planar:
                sound = sound.reshape(-1, made.layout.nb_channels).T
            finite = np.where(np.isfinite(sound), sound, 0)  # (C, n)
            large = np.abs(finite)
            peak = max(peak, float(large.max(initial=0.0)))
            whole = whole and _whole(finite)
            chosen = large if span.channel is None else large[span.channel - 1 : span.channel]
            chosen_peak = max(chosen_peak, float(chosen.max(initial=0.0)))
            beyond += int((chosen > OVERSHOOT).sum())
            count += chosen.size
    return Numbers(peak, whole, chosen_peak, beyond / max(count, 1))
