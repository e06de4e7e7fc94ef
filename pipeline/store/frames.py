"""Frames of cells: files of their own beside the shards, so that a training never reads them.

``<folder>/frames/<modality>-<digest of its fingerprints>-<SHA-256 of its bytes>.frames`` is a Parquet file with some
megabytes of frames, a row for each fingerprint. A cell that has frames lies in a shard whose name says so
(``audio-framed-...``): its vector is there, and the file and row of its frames. A program that knows no frames does
not see these shards, and never needs one of their cells. The file is written before the shard that names it.

A file whose frames are tokens has a column more, their spans. Files from before there were spans lack it, and programs
from then pass it over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bigfusion.pipeline.digests.values import canonical, digest
from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.sequences import Frames, TokenFrames, spans_of
from bigfusion.pipeline.store.shards import FRAMED_FORMAT, Cell, Shard, is_sound

FOLDER = "frames"
BUDGET = 16 * 2**20
"""Bytes of frames in a file, more only if a single utterance has more. A file is read and verified as a whole."""
_NAME = re.compile(r"(text|audio|visual)-[0-9a-f]{16}-[0-9a-f]{64}\.frames")
_METADATA = b"bigfusion"
_REMEDY = "`bigfusion fsck --repair` takes it out, and `bigfusion plan` then shows its cells as new"


@dataclass(frozen=True)
class FramesPlace:
    """Where a cell's frames lie: the file's name, the row in it, and how many frames there are."""

    file: str
    row: int
    count: int


@dataclass(frozen=True)
class FramedCell(Cell):
    """A cell with frames beside its vector."""

    frames: FramesPlace | None = None


@dataclass(frozen=True)
class FramesFile:
    """A frames file's verified content: each row's fingerprint and frames."""

    name: str
    fingerprints: tuple[str, ...]
    frames: tuple[Frames, ...]

    def at(self, place: FramesPlace, fingerprint: str) -> Frames:
        """The frames of a cell.

        Raises:
            DamagedShardError: they are not those of this fingerprint.
        """
        if place.row >= len(self.frames) or self.fingerprints[place.row] != fingerprint:
            raise DamagedShardError(f"{self.name}: expected the frames of {fingerprint[:12]}..., found none; {_REMEDY}")
        found = self.frames[place.row]
        if len(found.values) != place.count:
            raise DamagedShardError(
                f"{self.name}: expected {place.count} frames of {fingerprint[:12]}..., found {len(found.values)};"
                f" {_REMEDY}"
            )
        return found


def is_frames(name: str) -> bool:
    """Whether a file's name is a frames file's."""
    return _NAME.fullmatch(name) is not None


def encode_frames(modality: Modality, frames: Mapping[str, Frames]) -> tuple[str, bytes]:
    """Encode frames by fingerprint as one file: its name and its bytes. The rows are in the mapping's order.

    Raises:
        StoreError: the frames do not fit each other.
    """
    widths = {one.values.shape[1:] for one in frames.values()}
    columns = {one.columns for one in frames.values()}
    if len(widths) != 1 or len(columns) != 1:
        raise StoreError(f"{modality} frames of one file: expected one width and names, found {sorted(widths)}")
    for key, one in frames.items():
        if one.values.ndim != 2 or (one.times is not None and one.times.shape != one.values.shape[:1]):
            raise StoreError(f"{modality} frames of {key[:12]}...: expected (T, F) and T times, found others")
        if (spans := spans_of(one)) is not None and spans.shape != (len(one.values), 2):
            raise StoreError(f"{modality} frames of {key[:12]}...: expected a span a frame, found {len(spans)}")
    ((width,),) = widths
    table = pa.table(
        {
            "fingerprint": pa.array(list(frames), pa.string()),
            "count": pa.array([len(one.values) for one in frames.values()], pa.int32()),
            "frames": pa.array(
                [np.ascontiguousarray(one.values, "<f4").tobytes() for one in frames.values()], pa.large_binary()
            ),
            "times": pa.array(
                [
                    None if one.times is None else np.ascontiguousarray(one.times, "<f8").tobytes()
                    for one in frames.values()
                ],
                pa.large_binary(),
            ),
        }
    )
    every = [spans_of(one) for one in frames.values()]
    if any(one is not None for one in every):
        raw = [None if one is None else np.ascontiguousarray(one, "<i4").tobytes() for one in every]
        table = table.append_column("spans", pa.array(raw, pa.large_binary()))
    metadata = {"format": FRAMED_FORMAT, "modality": modality.value, "width": width, "columns": columns.pop()}
    table = table.replace_schema_metadata({_METADATA: canonical(metadata)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    payload: bytes = sink.getvalue().to_pybytes()
    held = digest(sorted(frames))[:16]
    return f"{modality.value}-{held}-{hashlib.sha256(payload).hexdigest()}.frames", payload


def decode_frames(name: str, payload: bytes) -> FramesFile:
    """Decode and verify a frames file of this name.

    Raises:
        DamagedShardError: the bytes are not those that the name says, or no frames.
        FormatError: a newer version of bigfusion wrote it.
    """
    if not is_sound(name, payload):
        found = hashlib.sha256(payload).hexdigest()
        expected = name.removesuffix(".frames").rsplit("-", 1)[-1]
        raise DamagedShardError(f"{name}: expected SHA-256 {expected[:12]}..., found {found[:12]}...; {_REMEDY}")
    try:
        with pq.ParquetFile(pa.BufferReader(payload), page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        metadata = json.loads(table.schema.metadata[_METADATA])
        check_format(name, metadata["format"], FRAMED_FORMAT)
        width, columns = int(metadata["width"]), tuple(metadata["columns"])
        parts = [table.column(key) for key in ("count", "frames", "times")]
        spans = table.column("spans") if "spans" in table.column_names else repeat(pa.scalar(None), len(table))
        frames = tuple(
            _with_spans(
                Frames(
                    np.frombuffer(values.as_buffer(), "<f4").reshape(count.as_py(), width),
                    None if not times.is_valid else np.frombuffer(times.as_buffer(), "<f8"),
                    columns,
                ),
                span.as_buffer() if span.is_valid else None,
            )
            for count, values, times, span in zip(*parts, spans, strict=True)
        )
        return FramesFile(name, tuple(table.column("fingerprint").to_pylist()), frames)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedShardError(
            f"{name}: its bytes are those it was named by, but no frames ({error}); {_REMEDY}"
        ) from None


def _with_spans(frames: Frames, raw: pa.Buffer | None) -> Frames:
    """The frames of tokens, if they were stored with spans."""
    if raw is None:
        return frames
    spans = np.frombuffer(raw, "<i4").reshape(len(frames.values), 2)
    return TokenFrames(frames.values, frames.times, frames.columns, spans=spans)


def frames_files(shard: Shard) -> tuple[str, ...]:
    """The frames files that a shard names.

    Raises:
        FormatError: a newer version of bigfusion wrote the shard.
    """
    metadata = json.loads(shard.table.schema.metadata[_METADATA])
    if "frames" not in metadata:
        return ()
    check_format(shard.name, metadata["frames"]["format"], FRAMED_FORMAT)
    return tuple(metadata["frames"]["files"])


def places(shard: Shard) -> list[FramesPlace | None]:
    """Where the frames of each of a shard's cells lie; ``None`` for a cell without."""
    files = frames_files(shard)
    if not files:
        return [None] * len(shard)
    columns = (shard.column(name) for name in ("frames_file", "frames_row", "frames_count"))
    return [
        None if file is None else FramesPlace(files[file], row, count)
        for file, row, count in zip(*columns, strict=True)
    ]


def cells_of(shard: Shard) -> list[Cell]:
    """The cells of a shard as they were written, with the places of their frames if they have any."""
    if not frames_files(shard):
        return shard.cells()
    return [framed(cell, place) for cell, place in zip(shard.cells(), places(shard), strict=True)]


def framed(cell: Cell, place: FramesPlace | None) -> Cell:
    """A cell with the place of its frames; unchanged if it has none."""
    if place is None:
        return cell
    return FramedCell(**{one.name: getattr(cell, one.name) for one in fields(Cell)}, frames=place)


def pieces(sizes: Sequence[int], budget: int = BUDGET) -> list[list[int]]:
    """Cut a row of sizes into pieces of at most ``budget`` together; one that is larger is a piece alone."""
    found: list[list[int]] = []
    left = 0
    for place, size in enumerate(sizes):
        if not found or size > left:
            found.append([])
            left = budget
        found[-1].append(place)
        left -= size
    return found
