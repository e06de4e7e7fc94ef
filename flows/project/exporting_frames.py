"""The frames of a plan's cells, for an export: which features have some, and their rows, a few at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigfusion.pipeline.plan.plan import CellPlan
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.sequences import NO_SPAN, Frames, spans_of
from bigfusion.pipeline.store.frames import FramesPlace, pieces
from bigfusion.pipeline.store.store import Store

TOGETHER = 64 * 2**20
"""Bytes of frames that are in memory at once."""


@dataclass(frozen=True)
class Framed:
    """A feature whose cells have frames.

    ``places`` says for each row of the manifest where its frames lie; ``None``: it has none. ``width`` is how many
    numbers a frame has, ``columns`` their names if they have any, ``timed`` whether frames have times, ``spanned``
    whether they are tokens with spans.
    """

    keys: Sequence[str]
    places: Sequence[FramesPlace | None]
    width: int
    columns: tuple[str, ...]
    timed: bool
    spanned: bool

    def count(self, row: int) -> int:
        """The number of a row's frames."""
        place = self.places[row]
        return 0 if place is None else place.count

    def bytes(self, row: int) -> int:
        """The bytes of a row's frames, times and spans."""
        return self.count(row) * (4 * self.width + 8 * self.timed + 8 * self.spanned)

    def read(self, store: Store, rows: Sequence[int]) -> dict[int, Frames]:
        """The frames of those of ``rows`` that have some."""
        keys, places = [self.keys[row] for row in rows], [self.places[row] for row in rows]
        return {rows[at]: frames for at, frames in store.frames(keys, places)}


def framed(store: Store, planned: CellPlan) -> dict[FeatureName, Framed]:
    """The features of a plan whose cells have frames.

    Raises:
        StoreError: a cell is not stored, or a file is damaged.
    """
    found = {}
    for feature in planned.features:
        if planned.extractors[feature]["settings"].get("level") != "frame":
            continue
        keys = planned.fingerprints(feature)
        places = store.frames_places(feature.modality, keys)
        some = next((row for row, place in enumerate(places) if place is not None), None)
        if some is not None:
            (one,) = Framed(keys, places, 0, (), False, False).read(store, [some]).values()
            timed, spanned = one.times is not None, spans_of(one) is not None
            found[feature] = Framed(keys, places, one.values.shape[1], one.columns, timed, spanned)
    return found


def blocks(features: Collection[Framed], rows: NDArray[np.int64], most: int = 1024) -> Iterator[list[int]]:
    """The rows in blocks whose frames have at most :data:`TOGETHER` bytes, and of at most ``most`` rows."""
    sizes = [sum(feature.bytes(row) for feature in features) for row in rows.tolist()]
    for part in pieces(sizes, TOGETHER):
        for at in range(0, len(part), most):
            yield rows[part[at : at + most]].tolist()


def nested(rows: Sequence[int], frames: dict[int, Frames], width: int) -> pa.Array:
    """One list of frames for each row, each a list of numbers; null for a row without."""
    counts = [len(frames[row].values) if row in frames else 0 for row in rows]
    parts = [frames[row].values.reshape(-1) for row in rows if row in frames]
    numbers = pa.array(np.concatenate(parts) if parts else np.zeros(0, np.float32))
    inner = pa.ListArray.from_arrays(pa.array(np.arange(sum(counts) + 1) * width, pa.int32()), numbers)
    return pa.ListArray.from_arrays(_offsets(counts), inner, mask=_absent(rows, frames))


def times(rows: Sequence[int], frames: dict[int, Frames]) -> pa.Array:
    """One list of seconds for each row; null for a row without frames."""
    parts = [found for row in rows if row in frames and (found := frames[row].times) is not None]
    counts = [len(frames[row].values) if row in frames else 0 for row in rows]
    numbers = pa.array(np.concatenate(parts) if parts else np.zeros(0))
    return pa.ListArray.from_arrays(_offsets(counts), numbers, mask=_absent(rows, frames))


def spans(rows: Sequence[int], frames: dict[int, Frames]) -> pa.Array:
    """One list for each row, of [start, end] for each token, null for a token without; null for a row without frames.

    Shape of a row's: (T, 2).
    """
    counts = [len(frames[row].values) if row in frames else 0 for row in rows]
    parts = [token_spans(frames[row]) for row in rows if row in frames]
    every = np.concatenate(parts) if parts else np.zeros((0, 2), np.int32)
    there = every[:, 0] >= 0
    inner = pa.ListArray.from_arrays(_offsets(2 * there), pa.array(every[there].reshape(-1)), mask=pa.array(~there))
    return pa.ListArray.from_arrays(_offsets(counts), inner, mask=_absent(rows, frames))


def token_spans(frames: Frames) -> NDArray[np.int32]:
    """The spans of frames, none for each token of frames without. Shape: (T, 2)."""
    found = spans_of(frames)
    return np.full((len(frames.values), 2), NO_SPAN, np.int32) if found is None else found


def _offsets(counts: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())


def _absent(rows: Sequence[int], frames: dict[int, Frames]) -> pa.Array:
    return pa.array([row not in frames for row in rows])
