"""Which cells are needed: the fingerprints that a manifest or a run reaches, in a file that gc reads.

A run keeps such a list in its folder; a workspace publishes one in the shard folder, so that another workspace on the
same shards, on whatever machine, removes nothing that this one needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.atomic import write_whole
from pipeline.errors import StoreError

_KEY = pa.binary(32)


def write_reach(path: Path, fingerprints: Iterable[str]) -> None:
    """Write the fingerprints (hexadecimal), each once, as one Parquet file with page checksums.

    Raises:
        StoreError: it cannot be written.
    """
    keys = pa.array(sorted(bytes.fromhex(key) for key in set(fingerprints)), _KEY)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"fingerprint": keys}), sink, compression="none", write_page_checksum=True)
    try:
        write_whole(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); make room or correct the rights") from error


def read_reach(path: Path) -> list[bytes]:
    """The fingerprints of such a file, 32 bytes each.

    Raises:
        StoreError: it is missing or damaged; what it names must not be taken for unneeded.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(path.read_bytes()), page_checksum_verification=True) as file:
            column = file.read(columns=["fingerprint"])["fingerprint"]
            if column.type != _KEY:
                raise StoreError(f"{path}: expected fingerprints, found {column.type}")
            keys: list[bytes] = column.to_pylist()
            return keys
    except FileNotFoundError:
        found = "none"
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        found = str(error).splitlines()[0]
    raise StoreError(
        f"{path}: expected the list of cells that are needed, found {found}; nothing was removed: remove the run or the"
        " list by hand if it is not needed"
    )
