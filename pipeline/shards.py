"""One shard: an immutable Parquet file of many cells of one extractor, named by what it holds.

The name is ``<modality>-<digest of its cells' fingerprints>-<SHA-256 of its bytes>.parquet``: a shard can be verified
wherever it lies, with no index beside it. It is read whole (a chunk's worth, a megabyte or two), checked against its
name, and only then parsed from the very bytes that were checked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.atomic import write_whole
from pipeline.digest import canonical, digest
from pipeline.errors import DamagedShardError, StoreError
from pipeline.schema import Modality, Status

FORMAT = 1
_NAME = re.compile(r"(text|audio|visual)-[0-9a-f]{16}-[0-9a-f]{64}\.parquet")
_METADATA = b"bigfusion"


@dataclass(frozen=True)
class Cell:
    """One utterance under one extractor.

    ``input`` is what of the utterance entered the fingerprint (canonical JSON); ``vector`` (F,) float32, ``None``
    unless ``status`` is ``ok``; ``reason`` says why it is not.
    """

    fingerprint: str
    utterance: str
    status: Status
    input: str
    vector: NDArray[np.float32] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a shard's cells come from: ``extractor`` entered their fingerprints, the rest is provenance."""

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
    """A shard's content. Shapes: ``vectors`` (ok cells, F) float32; ``rows`` (cells,) index it, -1 for failures."""

    name: str
    origin: Origin
    fingerprints: list[str]
    utterances: list[str]
    statuses: list[str]
    reasons: list[str]
    inputs: list[str]
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]


def is_shard(name: str) -> bool:
    """Whether a file's name is a shard's. Anything else in the folder is left alone."""
    return _NAME.fullmatch(name) is not None


def modality_of(name: str) -> str:
    """The modality in a shard's name."""
    return name.split("-", 1)[0]


def write(folder: Path, origin: Origin, cells: Sequence[Cell]) -> str:
    """Write ``cells`` as one shard: temporary file, fsync, rename, fsync of the folder. Returns its name.

    A shard that is already there under the same name holds the same bytes and is left as it is.

    Raises:
        StoreError: the cells do not fit each other, or the folder cannot be written (full disk, permissions).
    """
    payload = _encode(origin, cells)
    name = "-".join(
        [
            origin.modality.value,
            digest(sorted(cell.fingerprint for cell in cells))[:16],
            hashlib.sha256(payload).hexdigest(),
        ]
    )
    target = folder / f"{name}.parquet"
    try:
        if not target.exists():
            write_whole(target, payload)
    except OSError as error:
        raise StoreError(
            f"{target}: the shard could not be written ({error.strerror}); nothing of it is visible: make room or"
            " correct the permissions and run the same command again"
        ) from error
    return target.name


def read(path: Path) -> Shard:
    """Read and verify a shard.

    Raises:
        DamagedShardError: its bytes are not those that its name says, or it cannot be read.
    """
    remedy = "move it out of the store; `bigfusion plan` then shows its cells as new"
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DamagedShardError(f"{path}: the shard cannot be read ({error.strerror}); {remedy}") from error
    expected, found = path.stem.rsplit("-", 1)[-1], hashlib.sha256(payload).hexdigest()
    if expected != found:
        raise DamagedShardError(f"{path}: expected SHA-256 {expected[:12]}..., found {found[:12]}...; {remedy}")
    return _decode(path.name, payload)


def _encode(origin: Origin, cells: Sequence[Cell]) -> bytes:
    vectors = [cell.vector for cell in cells if cell.vector is not None]
    widths = {vector.shape for vector in vectors}
    if len(widths) > 1:
        raise StoreError(f"{origin.modality} cells of one shard: expected one width, found {sorted(widths)}")
    if any((cell.vector is None) != (cell.status is not Status.OK) for cell in cells):
        raise StoreError(f"{origin.modality} cells: a vector belongs to every cell that is ok and to no other")
    width = vectors[0].shape[0] if vectors else 1  # failures alone: Parquet has no lists of width 0
    values = np.zeros((len(cells), width), np.float32)
    present = np.zeros(len(cells), bool)
    for row, cell in enumerate(cells):
        if cell.vector is not None:
            values[row], present[row] = cell.vector, True
    feature = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width, mask=pa.array(~present))
    table = pa.table(
        {
            "fingerprint": pa.array([cell.fingerprint for cell in cells]),
            "utterance": pa.array([cell.utterance for cell in cells]),
            "status": pa.array([cell.status.value for cell in cells]),
            "reason": pa.array([cell.reason for cell in cells]),
            "input": pa.array([cell.input for cell in cells]),
            "feature": feature,
        }
    )
    table = table.replace_schema_metadata({_METADATA: canonical({"format": FORMAT, **_plain(origin)})})
    sink = pa.BufferOutputStream()
    # Float features do not compress; page checksums let a single page be verified by any Parquet reader.
    pq.write_table(table, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def _decode(name: str, payload: bytes) -> Shard:
    table = pq.read_table(pa.BufferReader(payload), page_checksum_verification=True)
    metadata = json.loads(table.schema.metadata[_METADATA])
    if metadata.pop("format") != FORMAT:
        raise DamagedShardError(
            f"{name}: expected shard format {FORMAT}; it was written by another version of bigfusion"
        )
    feature = table.column("feature").combine_chunks()
    present = np.asarray(feature.is_valid())
    width = feature.type.list_size
    values = feature.values.slice(feature.offset * width, len(feature) * width)
    vectors = np.asarray(values, np.float32).reshape(len(feature), width)
    return Shard(
        name=name,
        origin=Origin(
            **{
                **metadata,
                "modality": Modality(metadata["modality"]),
                "columns": tuple(metadata["columns"]),
            }
        ),
        fingerprints=table.column("fingerprint").to_pylist(),
        utterances=table.column("utterance").to_pylist(),
        statuses=table.column("status").to_pylist(),
        reasons=table.column("reason").to_pylist(),
        inputs=table.column("input").to_pylist(),
        rows=np.where(present, np.cumsum(present) - 1, -1),
        vectors=vectors[present],
    )


def _plain(origin: Origin) -> dict[str, Any]:
    return {
        "corpus": origin.corpus,
        "modality": origin.modality.value,
        "extractor": origin.extractor,
        "run": origin.run,
        "created": origin.created,
        "seconds": origin.seconds,
        "versions": origin.versions,
        "columns": list(origin.columns),
    }
