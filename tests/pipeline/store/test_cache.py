"""Copies of a bucket's shards on this machine: bounded, checked, and not fetched twice."""

import os
import uuid
from types import SimpleNamespace

import numpy as np

from bigfusion.pipeline.store import shards
from bigfusion.pipeline.store.cache import ShardCache
from bigfusion.pipeline.store.store import Store
from tests.helpers.s3_server import Proxy
from tests.helpers.toy_store import cell, content, fill, origin


def test_copies_on_this_machine_are_bounded_and_checked(tmp_path, caplog):
    cache, made = ShardCache(tmp_path / "shards", 40_000), []
    for n in range(12):
        name, payload = shards.encode([origin()], [cell(f"{n}", np.zeros(1000, np.float32) + n)])
        made.append((name, payload))
        cache.keep(name, payload)
        os.utime(tmp_path / "shards" / name, (n, n)) if n else None
        assert sum(path.stat().st_size for path in (tmp_path / "shards").iterdir()) <= 40_000
    there = [cache.read(name) == payload for name, payload in made]
    assert there[-3:] == [True] * 3
    assert there[1:4] == [False] * 3
    name, payload = made[-1]
    (tmp_path / "shards" / name).write_bytes(payload[:-1] + b"!")
    assert cache.read(name) is None
    assert "damaged; fetched again" in caplog.text
    assert not (tmp_path / "shards" / name).exists()
    ShardCache(tmp_path / "none", 0).keep(name, payload)
    assert not (tmp_path / "none").exists()


def test_what_was_fetched_once_is_not_fetched_again(s3, tmp_path):
    proxy = Proxy(s3)
    url = s3.new(f"b{uuid.uuid4().hex[:12]}")
    fill(Store(url, tmp_path / "writer/index.sqlite"))
    through = url.replace(f":{s3.port}", f":{proxy.port}")
    reader = Store(through, tmp_path / "reader/index.sqlite")
    before = content(reader)
    proxy.shutdown()
    proxy.server_close()
    reader.folder.objects = SimpleNamespace(readers=4)  # nothing is asked of the bucket
    assert content(reader) == before
