"""One shard: an immutable Parquet file with many cells of one modality, named after its content.

The name is ``<modality>-<digest of its cells' fingerprints>-<SHA-256 of its bytes>.parquet``. So a shard can be
verified anywhere, without an index beside it. It is read whole (a megabyte or two) and checked against its name. Only
then are those same bytes parsed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bigfusion.pipeline.digests.values import canonical, digest
from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.formats import check_format
from bigfusion.pipeline.schema import Modality, Status

FORMAT = 2
"""The number stands in every shard, since shards of several versions may lie in one store. A newer format keeps the
form of the name: else an older program would not see these shards, and compute their cells again.
"""
FRAMED_FORMAT = 3
"""The format of what :mod:`store.frames` adds to a shard of cells with frames. Their vectors are read as all others."""
_NAME = re.compile(r"(text|audio|visual)-(framed-)?[0-9a-f]{16}-[0-9a-f]{64}\.parquet")
_METADATA = b"bigfusion"
_REMEDY = "`bigfusion fsck --repair` takes it out, and `bigfusion plan` then shows its cells as new"


@dataclass(frozen=True)
class Cell:
    """One utterance under one extractor.

    ``input`` is the part of the utterance that entered the fingerprint (canonical JSON). ``vector`` is (F,) float32,
    ``None`` unless ``status`` is ``ok``. ``reason`` says why the cell is not ``ok``; if it is ``ok``, ``reason`` is the
    note: what was decided on the way.
    """

    fingerprint: str
    utterance: str
    status: Status
    input: str
    vector: NDArray[np.float32] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Origin:
    """Where cells come from: ``extractor`` entered their fingerprints; the other fields are provenance.

    ``seconds`` is the computing time of all cells that were made together.
    """

    corpus: str
    modality: Modality
    extractor: dict[str, Any]
    run: str
    created: str
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """A shard's verified content. Shapes: ``values`` (cells, F) float32, zeros where not ``present`` (cells,)."""

    name: str
    origins: tuple[Origin, ...]
    table: pa.Table
    values: NDArray[np.float32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.present)

    def column(self, name: str) -> list[Any]:
        """``fingerprint``, ``utterance``, ``status``, ``reason``, ``input`` or ``origin`` (an index), cell by cell."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    @cached_property
    def fingerprints(self) -> list[str]:
        """The cells' fingerprints, in their order."""
        return self.column("fingerprint")

    def cells(self) -> list[Cell]:
        """The cells as they were written."""
        columns = (self.column(name) for name in ("utterance", "status", "input", "reason"))
        return [
            Cell(key, utterance, Status(status), input_, self.values[at] if self.present[at] else None, reason)
            for at, (key, utterance, status, input_, reason) in enumerate(zip(self.fingerprints, *columns, strict=True))
        ]


def is_shard(name: str) -> bool:
    """Whether a file's name is a shard's. Other files in the folder are left alone."""
    return _NAME.fullmatch(name) is not None


def is_sound(name: str, payload: bytes) -> bool:
    """Whether the bytes match a shard's name."""
    return name.partition(".")[0].rsplit("-", 1)[-1] == hashlib.sha256(payload).hexdigest()


def modality_of(name: str) -> str:
    """The modality in a shard's name."""
    return name.split("-", 1)[0]


def encode(
    origins: Sequence[Origin], cells: Sequence[Cell], origin_of: Sequence[int] | None = None
) -> tuple[str, bytes]:
    """Encode cells as one shard: its name and its bytes.

    ``origin_of`` gives each cell's index in ``origins`` (default: 0).

    Raises:
        StoreError: the cells do not fit each other.
    """
    payload = _payload(origins, cells, origin_of or [0] * len(cells))
    held = digest(sorted(cell.fingerprint for cell in cells))[:16]
    framed = "framed-" if any(_frames(cell) for cell in cells) else ""
    return f"{origins[0].modality}-{framed}{held}-{hashlib.sha256(payload).hexdigest()}.parquet", payload


def decode(name: str, payload: bytes) -> Shard:
    """Decode and verify a shard of this name.

    Raises:
        DamagedShardError: the bytes are not those that the name says, or not a shard's.
    """
    expected, found = name.removesuffix(".parquet").rsplit("-", 1)[-1], hashlib.sha256(payload).hexdigest()
    if expected != found:
        raise DamagedShardError(f"{name}: expected SHA-256 {expected[:12]}..., found {found[:12]}...; {_REMEDY}")
    try:
        with pq.ParquetFile(pa.BufferReader(payload), page_checksum_verification=True) as file:
            table = file.read(use_threads=False)
        metadata = json.loads(table.schema.metadata[_METADATA])
        if metadata["format"] != FORMAT:
            raise DamagedShardError(
                f"{name}: expected shard format {FORMAT}, found {metadata['format']}, which no release wrote; remove it"
            )
        origins = tuple(_origin(Modality(metadata["modality"]), plain) for plain in metadata["origins"])
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedShardError(
            f"{name}: its bytes are those it was named by, but no shard ({error}); {_REMEDY}"
        ) from None
    feature = table.column("feature").combine_chunks()
    width = feature.type.list_size
    values = feature.values.slice(feature.offset * width, len(feature) * width)
    present = np.asarray(feature.is_valid())
    return Shard(name, origins, table, np.asarray(values, np.float32).reshape(len(feature), width), present)


def check_newer(name: str, payload: bytes) -> None:
    """Look whether a shard that :func:`decode` refused is not damaged but of a newer format.

    Raises:
        FormatError: its bytes are sound, and a newer version of bigfusion wrote it.
    """
    if not is_sound(name, payload):
        return
    try:
        found = json.loads(pq.read_schema(pa.BufferReader(payload)).metadata[_METADATA])["format"]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return
    check_format(name, found, FORMAT)


def _payload(origins: Sequence[Origin], cells: Sequence[Cell], origin_of: Sequence[int]) -> bytes:
    modality = origins[0].modality
    vectors = [cell.vector for cell in cells if cell.vector is not None]
    widths = {vector.shape for vector in vectors}
    if len(widths) > 1:
        raise StoreError(f"{modality} cells of one shard: expected one width, found {sorted(widths)}")
    if any((cell.vector is None) != (cell.status is not Status.OK) for cell in cells):
        raise StoreError(f"{modality} cells: a vector belongs to every cell that is ok and to no other")
    width = vectors[0].shape[0] if vectors else 1  # only failures: Parquet has no lists of width 0
    values = np.zeros((len(cells), width), np.float32)
    present = np.zeros(len(cells), bool)
    for row, cell in enumerate(cells):
        if cell.vector is not None:
            values[row], present[row] = cell.vector, True
    feature = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width, mask=pa.array(~present))
    table = pa.table(
        {
            "fingerprint": pa.array([cell.fingerprint for cell in cells], pa.string()),
            "utterance": pa.array([cell.utterance for cell in cells], pa.string()),
            "status": pa.array([cell.status.value for cell in cells], pa.string()),
            "reason": pa.array([cell.reason for cell in cells], pa.string()),
            "input": pa.array([cell.input for cell in cells], pa.string()),
            "origin": pa.array(origin_of, pa.int32()),
            "feature": feature,
        }
    )
    metadata = {"format": FORMAT, "modality": modality.value, "origins": [_plain(origin) for origin in origins]}
    table, frames = _with_frames(table, cells)
    metadata |= frames
    table = table.replace_schema_metadata({_METADATA: canonical(metadata)})
    sink = pa.BufferOutputStream()
    # Float features do not compress. With page checksums any Parquet reader can verify a single page.
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def _frames(cell: Cell) -> Any:
    """Where a cell's frames lie, if it has any (:class:`store.frames.FramesPlace`)."""
    return getattr(cell, "frames", None)


def _with_frames(table: pa.Table, cells: Sequence[Cell]) -> tuple[pa.Table, dict[str, Any]]:
    """The table with the places of the frames, and what they add to its metadata. Without frames: nothing."""
    found = [_frames(cell) for cell in cells]
    files = list(dict.fromkeys(place.file for place in found if place))
    if not files:
        return table, {}
    columns: dict[str, list[int | None]] = {
        "frames_file": [files.index(place.file) if place else None for place in found],
        "frames_row": [place.row if place else None for place in found],
        "frames_count": [place.count if place else None for place in found],
    }
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values, pa.int32()))
    return table, {"frames": {"format": FRAMED_FORMAT, "files": files}}


def _plain(origin: Origin) -> dict[str, Any]:
    return {
        "corpus": origin.corpus,
        "extractor": origin.extractor,
        "run": origin.run,
        "created": origin.created,
        "seconds": origin.seconds,
        "versions": origin.versions,
        "columns": list(origin.columns),
    }


def _origin(modality: Modality, plain: dict[str, Any]) -> Origin:
    return Origin(**{**plain, "modality": modality, "columns": tuple(plain["columns"])})
