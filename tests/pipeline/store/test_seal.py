"""Flipped bits, lost bytes and the seal of the index: all are found, and no read gives a wrong number."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.seal import SUFFIX, seal_of
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_extraction import computed
from tests.helpers.toy_store import cell, content, origin


def flips(payload: bytes, number: int, seed: int) -> Iterator[bytes]:
    """``payload`` with one bit flipped, again and again."""
    dice = np.random.default_rng(seed)
    for bit in dice.choice(len(payload) * 8, number, replace=False):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Store:
    """A store of 900 cells, its index packed, so that few bits of it mean nothing, and sealed."""
    folder = tmp_path_factory.mktemp("full")
    store = Store(folder)
    for chunk in range(3):
        store.commit(origin(created=f"2026-01-0{chunk + 1}"), [computed(f"{chunk}-{n}") for n in range(300)])
    store.index.query("PRAGMA wal_checkpoint(TRUNCATE)")
    store.index.query("VACUUM")
    store.index.settle()
    return store


@pytest.mark.slow
def test_every_one_of_1000_flipped_bits_is_found(full, tmp_path):
    """560 in shards, 400 in the index, 40 in its seal; fsck names the file, and no read gives a wrong number."""
    copy, index = tmp_path / "store", tmp_path / "store/index.sqlite"
    shutil.copytree(full.folder.place, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    names = sorted(content(full))
    right = full.read(Modality.AUDIO, names)
    assert fsck(copy, index).findings == []
    shards_of = sorted(copy.glob("audio/*.parquet"))
    numbers = [(path, 200 if path is shards_of[0] else 180) for path in shards_of]
    total = 0
    for seed, (victim, number) in enumerate([*numbers, (index, 400), (seal_of(index), 40)]):
        sane = victim.read_bytes()
        for damaged in flips(sane, number, seed):
            total += 1
            victim.write_bytes(damaged)
            if victim in shards_of:
                with pytest.raises(DamagedShardError):
                    shards.decode(victim.name, damaged)
            if victim not in shards_of or total % 10 == 0:
                (found,) = fsck(copy, index, sample=1.0 if victim in shards_of else 0.1).findings
                assert found.item == victim.name.removesuffix(SUFFIX)
            if victim == index and total % 4 == 0:
                reads_right_or_says_so(copy, index, names, right)
                for suffix in (SUFFIX, "-wal", "-shm"):
                    Path(f"{index}{suffix}").unlink(missing_ok=True)
                shutil.copy(seal_of(full.folder.place / "index.sqlite"), copy)
        victim.write_bytes(sane)
    assert total == 1000
    assert fsck(copy, index).findings == []


def reads_right_or_says_so(folder: Path, index: Path, names: list[str], right) -> None:
    """What a read does with a damaged index before any fsck."""
    try:
        store = Store(folder, index)
        features = store.read(Modality.AUDIO, names)
        store.close()
    except StoreError:
        return
    assert (features.values == right.values).all()
    assert (features.present == right.present).all()


def test_a_lost_byte_of_index_or_seal_is_found(full, tmp_path):
    copy, index = tmp_path / "store", tmp_path / "store/index.sqlite"
    shutil.copytree(full.folder.place, copy, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    for victim in (index, seal_of(index)):
        sane = victim.read_bytes()
        for damaged in (sane[:-1], sane + b"x", b""):
            victim.write_bytes(damaged)
            assert [found.kind for found in fsck(copy, index).findings] == ["index"]
        victim.write_bytes(sane)
    index.write_bytes(b"")
    assert fsck(copy, index, repair=True).repaired
    assert fsck(copy, index).findings == []
    assert seal_of(index).exists()


def test_a_writer_breaks_the_seal_before_it_writes_and_makes_it_anew(tmp_path):
    index = tmp_path / "index.sqlite"
    store = Store(tmp_path)
    store.commit(origin(), [cell("a")])
    assert not seal_of(index).exists()
    store.close()
    first = seal_of(index).read_bytes()
    Store(tmp_path).close()
    assert seal_of(index).read_bytes() == first
    reader, store = Store(tmp_path), Store(tmp_path)
    store.commit(origin(), [cell("b")])
    store.close(settle=False)
    assert not seal_of(index).exists()
    reader.index.query("BEGIN")
    reader.index.query("SELECT count(*) FROM cells")
    Store(tmp_path).close()  # the reader is in its way: the log cannot be brought into the file
    store = Store(tmp_path)
    store.commit(origin(), [cell("c")])
    store.close()
    assert not seal_of(index).exists()
    assert fsck(tmp_path, index).findings == []
    reader.index.query("COMMIT")
    reader.close()
    assert fsck(tmp_path, index).findings == []
    assert seal_of(index).read_bytes() != first
