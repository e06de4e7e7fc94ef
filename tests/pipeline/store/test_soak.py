"""Eight processes at one store, killed at random: nothing promised is lost or read wrong, nobody is stuck.

The bounded form of ``python -m tests.helpers.store_soak`` (docs/reliability.md).
"""

import struct

import pytest

from tests.helpers import store_soak
from tests.helpers.store_soak import Soak


@pytest.mark.slow
def test_eight_processes_and_random_kills_lose_nothing(tmp_path):
    counts = Soak(tmp_path, seconds=12, seed=7).run()
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


@pytest.mark.parametrize(("life", "stuck"), [("sleeps", 1), ("spins", 1), ("works", 0)])
def test_who_waits_for_ever_or_goes_round_would_be_counted(tmp_path, monkeypatch, life, stuck):
    soak = Soak(tmp_path, seconds=1)
    clock, used = [1000.0], [0.0]
    monkeypatch.setattr(store_soak, "processor_time", lambda process: used[0])
    monkeypatch.setattr(store_soak.time, "monotonic", lambda: clock[0])
    struct.pack_into("dq", soak.beats, 0, 1000.0, 0)
    for _ in range(100):  # 200 s by the clock
        soak._count_stuck([1])
        clock[0] += 2
        used[0] += {"sleeps": 0.0, "spins": 1.9, "works": 0.02}[life]
    assert soak.counts.stuck == stuck
