"""Cells and origins for tests of the store, and what a store holds."""

import hashlib
from pathlib import Path

import numpy as np

from bigfusion.pipeline.schema import Modality, Status
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.fsck import Report, fsck
from bigfusion.pipeline.store.shards import Cell, Origin
from bigfusion.pipeline.store.store import Store


def origin(modality=Modality.AUDIO, **over) -> Origin:
    values = {
        "corpus": "toy", "modality": modality, "extractor": {"name": "t", "settings": {}}, "run": "r1",
        "created": "2026-01-01T00:00:00+00:00", "seconds": 1.0, "versions": {"numpy": "2"}, "columns": ("a", "b", "c"),
    }  # fmt: skip
    return Origin(**(values | over))


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def cell(name: str, vector=(1, 2, 3), status=Status.OK, utterance=None, reason="") -> Cell:
    value = None if status is not Status.OK else np.array(vector, np.float32)
    return Cell(key(name), utterance or f"u/{name}", status, '{"text":"x"}', value, reason)


NAMES = [f"{kind}{n}" for kind in "ab" for n in range(5)]


def fill(store: Store) -> None:
    """Five shards with the cells of ``NAMES``, one failure among them."""
    for n in range(5):
        second = cell(f"b{n}", status=Status.SILENT, reason="flat") if n == 4 else cell(f"b{n}", (n, 1, 1))
        store.commit(origin(run=f"r{n}", created=f"2026-01-0{n + 1}"), [cell(f"a{n}", (n, 0, 0)), second])


def keys(*names: str) -> list[bytes]:
    return [bytes.fromhex(key(name)) for name in names]


def paths(store: Store) -> list[Path]:
    return sorted(store.folder.place.rglob("*.parquet"))


def placed(store: Store, name: str) -> Path:
    """The file of a shard."""
    return Path(store.folder.shown(name))


def shard(path: Path) -> shards.Shard:
    return shards.decode(path.name, path.read_bytes())


def content(store: Store, modality=Modality.AUDIO) -> dict[str, tuple]:
    """Every cell that can be read, by fingerprint: its numbers, or its failure."""
    keys = [key.hex() for (key,) in store.index.query("SELECT DISTINCT fingerprint FROM cells")]
    features, failures = store.read(modality, keys), store.failures(keys)
    return {
        key: tuple(features.values[row].tolist()) if features.present[row] else failures[key]
        for row, key in enumerate(keys)
    }


def damage(path: Path, at: int = 300) -> None:
    """Flip one bit of a file."""
    payload = bytearray(path.read_bytes())
    payload[at] ^= 4
    path.write_bytes(payload)


def check(store: Store, **over) -> Report:
    """What fsck says of a store, closed."""
    store.close()
    return fsck(store.folder.place, store.folder.place / "index.sqlite", **over)
