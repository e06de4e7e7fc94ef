"""Which cells are needed: the fingerprints that a manifest or a run reaches, in a list that gc reads.

A run keeps such a list in its folder. A workspace publishes one in the shard folder. So no other workspace on the same
shards, on any machine, removes what this one needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.errors import StoreError

_KEY = pa.binary(32)
_SHA256, _STATE = b"bigfusion.sha256", b"bigfusion.state"


def encode_reach(fingerprints: Iterable[str], state: str = "") -> bytes:
    """The fingerprints (hexadecimal, without duplicates) as a Parquet file; ``state`` names what they were computed
    from.
    """
    keys = sorted(bytes.fromhex(key) for key in set(fingerprints))
    table = pa.table({"fingerprint": pa.array(keys, _KEY)})
    table = table.replace_schema_metadata({_SHA256: hashlib.sha256(b"".join(keys)).hexdigest(), _STATE: state})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", write_page_checksum=True)
    payload: bytes = sink.getvalue().to_pybytes()
    return payload


def decode_reach(payload: bytes, place: str) -> list[bytes]:
    """The fingerprints in a list of needs, 32 bytes each.

    Raises:
        StoreError: the list is damaged; the cells that it names must not be regarded as unneeded.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(payload), page_checksum_verification=True) as file:
            table = file.read()
        column = table["fingerprint"]
        if column.type != _KEY:
            raise _unreadable(place, str(column.type))
        keys: list[bytes] = column.to_pylist()
        expected = (table.schema.metadata or {}).get(_SHA256)  # lists of old runs have none
        if expected is not None and expected != hashlib.sha256(b"".join(keys)).hexdigest().encode():
            raise _unreadable(place, "others than were written")
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _unreadable(place, str(error).splitlines()[0]) from None
    return keys


def state_of(payload: bytes) -> str:
    """The ``state`` in a list; empty if it cannot be read."""
    try:
        metadata = pq.read_schema(pa.BufferReader(payload)).metadata or {}
        return bytes(metadata.get(_STATE, b"")).decode()
    except (OSError, pa.ArrowException, ValueError):
        return ""


def write_reach(path: Path, fingerprints: Iterable[str]) -> None:
    """Write a list as a local file.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        write_whole(path, encode_reach(fingerprints))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error


def read_reach(path: Path) -> list[bytes]:
    """The fingerprints of a local file.

    Raises:
        StoreError: it is missing or damaged.
    """
    try:
        payload = path.read_bytes()
    except FileNotFoundError:
        raise _unreadable(str(path), "none") from None
    except OSError as error:
        raise _unreadable(str(path), str(error.strerror)) from None
    return decode_reach(payload, str(path))


def _unreadable(place: str, found: str) -> StoreError:
    return StoreError(
        f"{place}: expected the list of cells that are needed, found {found}; nothing was removed: remove the run or"
        " the list by hand if it is not needed"
    )
