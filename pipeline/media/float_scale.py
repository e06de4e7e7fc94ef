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
"""Sound is not on the scale of +-1 if this share of its samples or more lies beyond the overshoot. Sound of unit
variance has a tenth there.
"""

CLEAR = 100.0
"""From this largest sample on, only another scale explains the numbers."""

SCALES = ((2.0**16, 2.0**-15), (2.0**24, 2.0**-23), (2.0**33, 2.0**-31))
"""Pairs of a largest sample and the scale that it implies: 16, 24 and 32 bit, with room for a resampler's overshoot."""

SCANNED = 1 << 28
"""Files up to this many bytes are searched even if the span looks right. Larger files are searched only if it does not.
"""

KEPT = 64


class Numbers(NamedTuple):
    """All samples of a file: the largest, whether all of them are whole numbers, and the share of those that are too
    large to be an overshoot.
    """

    peak: float
    whole: bool
    beyond: float


_kept: OrderedDict[tuple[str, int, int, int | None], Numbers] = OrderedDict()
_lock = threading.Lock()


def scale_of(span: MediaSpan, samples: NDArray[np.float32]) -> float:
    """The factor for a span's samples. All spans of a file have the same factor, the quiet ones too.

    Raises:
        MediaError: corrupt_media if the samples are on no known scale.
    """
    stat = span.path.stat()
    peak = float(np.abs(samples).max(initial=0.0))
    if stat.st_size > SCANNED and peak <= 1 and not _whole(samples):
        return 1.0
    numbers = _numbers(span, (str(span.path.absolute()), stat.st_size, stat.st_mtime_ns, span.track))
    if numbers.peak <= 1 or (numbers.peak <= MILD and not numbers.whole):
        beyond = max(numbers.beyond, float(np.mean(np.abs(samples) > OVERSHOOT)) if samples.size else 0.0)
        if beyond >= RARE:
            raise _unknown(span, f"{100 * beyond:.1f} % of them beyond, up to {numbers.peak:.4g}")
        return 1.0
    scale = next((scale for most, scale in SCALES if numbers.peak <= most), None)
    if scale is None or (numbers.peak < CLEAR and not numbers.whole):
        raise _unknown(span, f"{numbers.peak:.4g}")
    return scale


def _unknown(span: MediaSpan, found: str) -> MediaError:
    return MediaError(
        Status.CORRUPT_MEDIA, f"{span.path.name}: expected float samples within +-1, found {found}; scale them to +-1"
    )


def _whole(samples: NDArray[np.floating]) -> bool:
    return bool(np.array_equal(samples, np.rint(samples)))


def _numbers(span: MediaSpan, key: tuple[str, int, int, int | None]) -> Numbers:
    with _lock:
        if key not in _kept:
            _kept[key] = _scanned(span)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return _kept[key]


def _scanned(span: MediaSpan) -> Numbers:
    peak, whole, beyond, count = 0.0, True, 0, 0
    with opened(span) as container:
        audio = container.streams.audio
        stream = audio[span.track - 1] if span.track else container.streams.best("audio")
        for frame in container.decode(stream):
            samples = packed(frame).to_ndarray()
            finite = samples[np.isfinite(samples)]
            peak = max(peak, float(np.abs(finite).max(initial=0.0)))
            whole = whole and _whole(finite)
            beyond += int((np.abs(finite) > OVERSHOOT).sum())
            count += samples.size
    return Numbers(peak, whole, beyond / max(count, 1))
