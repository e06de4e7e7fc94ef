"""What a stranger's file may hold: every reader gives a value, or refuses in one line, and does so soon."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.fuzzing import INPUTS, READERS, fuzz, inputs, outcome, spoilt

EDIT = st.tuples(
    st.integers(0, 6), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.integers(0, 255)
)


@pytest.mark.parametrize("path", [path for kind in READERS for path in inputs(kind)], ids=lambda path: path.name)
def test_a_committed_input_is_read_or_refused(path, tmp_path):
    """Those that fuzzing found are among them; the others are sound."""
    kind = path.parent.name
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    outcome(kind, copy)  # the first call imports what is slow to import
    found = outcome(kind, copy)
    assert found == ("refused" if path.name.startswith("found-") else "read")


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_no_spoilt_file_brings_more_than_a_line(kind, tmp_path):
    given_ = [(path.suffix, path.read_bytes()) for path in inputs(kind)]
    for suffix, payload in given_:  # the first call imports what is slow to import
        (tmp_path / f"first{suffix}").write_bytes(payload)
        outcome(kind, tmp_path / f"first{suffix}")

    @settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=60)
    @given(st.sampled_from(given_), st.lists(EDIT, min_size=1, max_size=4))
    def check(one, edits):
        suffix, payload = one
        path = tmp_path / f"spoilt{suffix}"
        path.write_bytes(spoilt(payload, edits))
        assert outcome(kind, path) in ("read", "refused")

    check()


def test_fuzzing_writes_nothing_beside_the_committed_inputs(tmp_path):
    before = sorted(INPUTS.rglob("*"))
    assert [kind for kind, _ in fuzz(["published", "runs"], 0.0, tmp_path, seed=0)] == ["published", "runs"]
    assert sorted(INPUTS.rglob("*")) == before


def test_every_kind_of_file_has_inputs():
    assert {path.name for path in INPUTS.iterdir()} == set(READERS)
