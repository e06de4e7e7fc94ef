"""The published lists of what is needed."""

import pytest

from bigfusion.pipeline.errors import StoreError
from bigfusion.pipeline.store.needs import decode_reach, encode_reach, read_reach, write_reach
from tests.helpers.toy_store import damage, key, keys


def test_every_flip_of_a_list_of_needs_is_found_or_means_nothing(tmp_path):
    payload = encode_reach([key(name) for name in "abcdefgh"], "state")
    right = decode_reach(payload, "list")
    found = 0
    for bit in range(0, len(payload) * 8, 3):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode_reach(bytes(damaged), "list") == right
        except StoreError:
            found += 1
    assert found > len(payload)


def test_lists_of_what_is_needed(tmp_path):
    path = tmp_path / "reach/w.parquet"
    write_reach(path, [key("b"), key("a"), key("b")])
    assert read_reach(path) == sorted(keys("a", "b"))
    damage(path, 40)
    with pytest.raises(StoreError, match="nothing was removed"):
        read_reach(path)
    with pytest.raises(StoreError, match="found none"):
        read_reach(tmp_path / "absent.parquet")
