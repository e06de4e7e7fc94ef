"""A store in an S3 bucket, on a real server on the loopback: all that a store in a folder does."""

import pytest

from bigfusion.pipeline.errors import DamagedShardError, StoreError
from bigfusion.pipeline.schema import Modality
from bigfusion.pipeline.store import bucket
from bigfusion.pipeline.store.compact import compact
from bigfusion.pipeline.store.folder import ShardFolder
from bigfusion.pipeline.store.fsck import fsck
from bigfusion.pipeline.store.garbage import find_garbage, remove
from bigfusion.pipeline.store.needs import decode_reach, encode_reach
from bigfusion.pipeline.store.store import Store
from tests.helpers.toy_store import NAMES, cell, content, fill, key, origin


def damage(url: str, name: str) -> None:
    objects = ShardFolder(url).objects
    payload = bytearray(objects.read(f"audio/{name}"))
    payload[len(payload) // 2] ^= 16
    objects.write(f"audio/{name}", bytes(payload))


def test_a_bucket_holds_what_a_folder_holds(url, tmp_path):
    local, far = Store(tmp_path / "local"), Store(url, tmp_path / "far.sqlite")
    fill(local)
    fill(far)
    assert far.folder.names() == local.folder.names()
    assert content(far) == content(local)
    assert far.state(Modality.AUDIO) == local.state(Modality.AUDIO)
    far.close()
    report = fsck(url, tmp_path / "far.sqlite")
    assert (report.shards, report.checked, report.cells, report.findings) == (5, 5, 10, [])
    assert content(Store(url, tmp_path / "another machine/index.sqlite")) == content(local)
    assert (tmp_path / "another machine/shards").is_dir()
    with pytest.raises(StoreError, match="place for the index"):
        Store(url)
    beside = Store(url.replace("/store?", "/store2?"), tmp_path / "beside.sqlite")
    assert beside.folder.names() == set()


def test_compaction_gc_and_lists_of_needs(url, tmp_path):
    store = Store(url, tmp_path / "index.sqlite")
    fill(store)
    before, first = content(store), store.folder.names()
    (merged,) = compact(store)
    store.folder.publish("w", encode_reach(map(key, NAMES)))
    assert store.folder.published("nobody") == b""
    ((place, payload),) = store.folder.needs()
    assert place.startswith("s3://b")
    assert find_garbage(store, decode_reach(payload, place), grace=3600).items == []
    garbage = find_garbage(store, decode_reach(payload, place), grace=0)
    assert {item.name for item in garbage.items} == first
    remove(store, garbage)
    assert store.folder.names() == {merged}
    assert content(Store(url, tmp_path / "other.sqlite")) == before
    assert fsck(url, tmp_path / "index.sqlite").findings == []


def test_a_flipped_bit_of_an_object_is_found_and_repaired(url, tmp_path):
    store = Store(url, tmp_path / "index.sqlite")
    fill(store)
    victim = sorted(store.folder.names())[2]
    held = store.shard(victim).fingerprints
    damage(url, victim)
    assert content(store)[held[0]]  # this machine has a sound copy
    with pytest.raises(DamagedShardError, match="expected SHA-256"):
        Store(url, tmp_path / "index.sqlite", cache=0).read(Modality.AUDIO, held)
    store.close()
    assert [found.item for found in fsck(url, tmp_path / "index.sqlite").findings] == [victim]
    report = fsck(url, tmp_path / "index.sqlite", repair=True)
    assert report.set_aside == [f"{url.partition('?')[0]}/damaged/{victim}"]
    assert fsck(url, tmp_path / "index.sqlite").findings == []
    store = Store(url, tmp_path / "index.sqlite")
    assert store.statuses(held) == {}
    assert [entry.key for entry in store.folder.damaged()] == [f"damaged/{victim}"]
    store.commit(origin(), [cell("again")])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3://key:secret@bucket/x", "credentials in it"),
        ("s3://", "expected s3://BUCKET"),
        ("s3://UPPER/x", "expected s3://BUCKET"),
        ("s3://bucket/a/../b", "without empty, . and .."),
        ("s3://bucket/a//b", "without empty, . and .."),
        ("s3://bucket/x?access_key=1", "found access_key"),
        ("s3://bucket/x#y", "without a #"),
        ("s3://bucket/x?region=eu-central-1#", "without a #"),
        ("s3://bucket/x?endpoint_override=http://key:secret@host:9000", "credentials in it"),
        ("s3://bucket/x?endpoint_override=key:secret@host", "credentials in it"),
    ],
)
def test_what_is_no_address(text, problem):
    with pytest.raises(ValueError, match=problem) as told:
        bucket.address(text)
    assert "secret" not in str(told.value)


def test_addresses():
    found = bucket.address("s3://meld-features/lab/one?endpoint_override=http://minio:9000&region=eu-central-1")
    assert found == bucket.Address("meld-features", "lab/one", "minio:9000", "eu-central-1", "http")
    assert bucket.address("s3://abc").key("audio/x") == "abc/audio/x"
