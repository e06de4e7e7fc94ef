"""Sound stays where its timestamps say: jumps are filled or cut, jitter and rounding leave every sample alone."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bigfusion.pipeline.media.clock import HARD, Piece, placed

RATE, SIZE = 16_000, 320  # packets of 20 ms


def shifts(stamps: list[float | None], size: int = SIZE) -> list[int]:
    return [shift for _, _, shift in placed([Piece(stamp, size) for stamp in stamps], RATE)]


def steady(count: int, start: float = 0.0) -> np.ndarray:
    return start + np.arange(count) * SIZE / RATE


def test_frames_that_follow_one_another_are_left_alone() -> None:
    assert not any(shifts(list(steady(200, 3.7))))
    assert not any(shifts([None] * 50))


@pytest.mark.parametrize("lost", [1, 2, 5, 100])
def test_lost_packets_become_silence_of_their_length(lost: int) -> None:
    stamps = [stamp for at, stamp in enumerate(steady(300)) if not 50 <= at < 50 + lost]
    found = shifts(list(stamps))
    assert found[50] == lost * SIZE
    assert sum(map(abs, found)) == lost * SIZE


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.02))
@example(998, 0.01953125)  # the last frame alone lay beyond the 24 before it
def test_jitter_never_cuts_or_stretches(seed: int, amount: float) -> None:
    jitter = np.random.default_rng(seed).uniform(-amount, amount, 200)
    jitter[:4] = 0  # the clock's beginning is known
    assert not any(shifts(list(steady(200) + jitter)))


@given(st.integers(0, 2**32 - 1))
def test_milliseconds_never_cut_or_stretch(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(100, 2000, 200)
    stamps = np.round(np.cumsum([0, *lengths[:-1]]) / RATE, 3)
    pieces = [Piece(stamp, int(size)) for stamp, size in zip(stamps, lengths, strict=True)]
    assert not any(shift for _, _, shift in placed(pieces, RATE))


@pytest.mark.parametrize("left", [1, 2, 3, 10])
def test_a_packet_lost_just_before_the_end_becomes_silence(left: int) -> None:
    noise = np.random.default_rng(7).uniform(-0.001, 0.001, 99 + left)
    stamps = np.delete(steady(100 + left), 99) + noise
    assert np.flatnonzero(shifts(list(stamps))).tolist() == [99]


def test_a_slow_drift_is_corrected_by_tenths_of_a_second() -> None:
    """FFmpeg's rule: a sound card's clock that runs 0.1 % slow is off by 0.6 s in ten minutes."""
    found = [shift for shift in shifts(list(steady(30_000) * 1.001)) if shift]
    assert len(found) == 5
    assert all(shift == pytest.approx(HARD * RATE, rel=0.01) for shift in found)


def test_what_is_told_twice_is_cut_once() -> None:
    stamps = [*steady(100), *steady(100, 100 * 0.02 - 0.3)]
    found = shifts(list(stamps))
    assert sum(found) == -round(0.3 * RATE)
    assert found[100:115] == [-SIZE] * 15


def test_one_wrong_timestamp_moves_nothing() -> None:
    stamps = steady(100)
    stamps[40] += 5.0
    stamps[70] -= 0.5
    assert not any(shifts(list(stamps)))


@given(st.lists(st.tuples(st.integers(5, 60), st.integers(1, 400)), min_size=1, max_size=8), st.floats(0, 0.003))
def test_every_frame_ends_up_at_its_timestamp(runs: list[tuple[int, int]], jitter: float) -> None:
    """Random gaps of one packet and more, with a little jitter: no frame is off by more than that."""
    noise = np.random.default_rng(len(runs))
    at, stamps = 0.0, []
    for length, gap in runs:
        stamps += list(at + steady(length) + noise.uniform(-jitter, jitter, length))
        at += (length + gap) * SIZE / RATE
    places = [begin for _, begin, _ in placed([Piece(stamp, SIZE) for stamp in stamps], RATE)]
    known = 5  # a jump right at the beginning may be jitter as well
    assert np.abs(np.array(places) - stamps)[known:].max(initial=0) <= 4 * jitter + 0.0081


def test_the_first_timestamp_may_come_late() -> None:
    placed_at = [begin for _, begin, _ in placed([Piece(None, SIZE), Piece(5.02, SIZE), Piece(None, SIZE)], RATE)]
    assert placed_at == pytest.approx([5.0, 5.02, 5.04])
