"""Eight processes at one store, killed at random: nothing promised is lost or read wrong, nobody is stuck.

The bounded form of ``python -m tests.helpers.store_soak`` (docs/reliability.md).
"""

import pytest

from tests.helpers.store_soak import Soak


@pytest.mark.slow
def test_eight_processes_and_random_kills_lose_nothing(tmp_path):
    counts = Soak(tmp_path, seconds=20, seed=7).run()
    assert (counts.lost, counts.wrong, counts.stuck, counts.broken) == (0, 0, 0, [])
    assert counts.promised > 0
    assert counts.kills > 3
    assert counts.operations["compact"] > 0
    assert counts.operations["fsck"] > 0


def test_what_is_lost_or_wrong_would_be_counted(tmp_path):
    """The soak itself, on a store that was spoilt on purpose."""
    soak = Soak(tmp_path, seconds=1)
    index = tmp_path / "a.sqlite"
    while len(soak._promised()) < 3:
        soak._extract(index, soak.dice)
    soak._append(soak.promises, str(soak.universe + 1))  # promised, and never stored
    soak._look()
    assert soak.counts.lost == 8
    assert (soak.counts.wrong, soak.counts.broken) == (0, [])
