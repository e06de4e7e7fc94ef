import pytest
import torch

from bigfusion.model.layers.relative import (
    group_mean,
    less_recording_mean,
    less_speaker_mean,
    relative_to_speaker,
    speaker_groups,
)


def test_hand_computed():
    values = torch.tensor([[1.0], [5.0], [3.0], [7.0], [100.0]])
    present = torch.tensor([True, True, True, True, False])
    group = torch.tensor([0, 1, 0, 2, 0])
    expected = torch.tensor([[-1.0], [0.0], [1.0], [0.0], [0.0]])  # mean 2, deviation sqrt((1 + 1 + 1) / (2 + 1))
    torch.testing.assert_close(relative_to_speaker(values, present, group), expected)


def test_groups_are_speakers_of_dialogues():
    dialogue, speaker = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 2, 0, 0, 2])
    group = speaker_groups(dialogue, speaker)
    assert group[0] == group[2] and len(set(group.tolist())) == 4


def test_a_speakers_offset_and_a_long_speakers_scale_vanish():
    torch.manual_seed(0)
    values, present = torch.randn(400, 3, dtype=torch.float64), torch.ones(400, dtype=torch.bool)
    group = torch.arange(400) % 2
    offset = torch.randn(2, 3, dtype=torch.float64)[group]
    plain = relative_to_speaker(values, present, group)
    torch.testing.assert_close(relative_to_speaker(values + offset, present, group), plain)
    louder = relative_to_speaker(2 * values, present, group)
    torch.testing.assert_close(louder, plain, atol=0.02, rtol=0)


def test_an_absent_row_may_hold_anything():
    values, group = torch.randn(6, 2), torch.zeros(6, dtype=torch.long)
    present = torch.tensor([True, True, False, True, True, False])
    spoilt = values.masked_fill(~present.unsqueeze(1), torch.nan)
    assert torch.equal(relative_to_speaker(spoilt, present, group), relative_to_speaker(values, present, group))


@pytest.mark.parametrize("length", [0, 1])
def test_nothing_and_one_utterance(length):
    values, group = torch.randn(length, 4), torch.zeros(length, dtype=torch.long)
    output = relative_to_speaker(values, torch.ones(length, dtype=torch.bool), group)
    assert output.shape == (length, 4) and not output.any()


def test_less_the_mean_by_hand():
    values = torch.tensor([[1.0, 0.0], [5.0, 1.0], [3.0, 4.0]])
    expected = torch.tensor([[-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
    torch.testing.assert_close(less_speaker_mean(values, torch.tensor([0, 3, 0])), expected)
    assert less_speaker_mean(values[:0], torch.empty(0, dtype=torch.long)).shape == (0, 2)


def test_gradient():
    values = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    present, group = torch.tensor([True, True, False, True, True, True]), torch.tensor([0, 1, 0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda rows: relative_to_speaker(rows, present, group), values)


def test_group_means_by_hand():
    values = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 4.0]])
    expected = torch.tensor([[3.0, 2.0], [0.0, 0.0], [3.0, 2.0], [0.0, 0.0]])
    assert torch.equal(group_mean(values, torch.tensor([0, 2, 0]), 4), expected)
    assert torch.equal(group_mean(values, torch.tensor([0, 2, 0])), expected[:3])
    assert group_mean(values[:0], torch.empty(0, dtype=torch.long)).shape == (0, 2)


def test_less_the_recordings_mean_by_hand():
    values = torch.tensor([[3.0], [4.0], [9.0], [6.0], [torch.nan]])
    present, dialogue = torch.tensor([True, True, True, True, False]), torch.tensor([0, 0, 0, 2, 0])
    expected = torch.tensor([[1.0], [2.0], [7.0], [5.0], [0.0]])  # 16 / (3 + 5) and 6 / (1 + 5)
    torch.testing.assert_close(less_recording_mean(values, present, dialogue, 3), expected)
    assert less_recording_mean(values[:0], present[:0], dialogue[:0], 0).shape == (0, 1)


def test_a_long_recordings_level_vanishes():
    torch.manual_seed(0)
    values, present = torch.randn(4000, 3), torch.ones(4000, dtype=torch.bool)
    dialogue = torch.arange(4000) % 2
    plain, louder = (less_recording_mean(values + level, present, dialogue, 2) for level in (0.0, 3.0))
    torch.testing.assert_close(louder, plain, atol=0.01, rtol=0)
