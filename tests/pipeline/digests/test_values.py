import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.pipeline.digests import values as d

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_key_order_does_not_matter(value):
    assert d.digest(value) == d.digest(dict(reversed(list(value.items()))))


@given(JSON, JSON)
def test_different_values_have_different_text(left, right):
    if d.canonical(left) == d.canonical(right):
        assert left == right


def test_a_known_digest():
    # printf '{"a":[1,"\xc3\xa9"],"b":null}' | sha256sum
    import hashlib

    assert d.digest({"b": None, "a": [1, "é"]}) == hashlib.sha256(b'{"a":[1,"\xc3\xa9"],"b":null}').hexdigest()


def test_nan_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        d.digest({"x": float("nan")})
