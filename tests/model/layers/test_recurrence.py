import torch
from torch import nn

from bigfusion.model.layers.recurrence import PartlyKnown, Steps


def test_a_partly_known_step_is_that_of_torchs_cell():
    torch.manual_seed(0)
    cell = nn.GRUCell(7, 4).double()
    known, rest, state = torch.randn(6, 5).double(), torch.randn(2, 2).double(), torch.randn(2, 4).double()
    steps = PartlyKnown(cell, known)
    for rows in (slice(0, 2), slice(4, 6)):
        expected = cell(torch.cat([known[rows], rest], dim=1), state)
        torch.testing.assert_close(steps.step(rows, rest, state), expected)
        every = steps.step(rows, rest.unsqueeze(1).expand(2, 3, 2), state.unsqueeze(1).expand(2, 3, 4))
        torch.testing.assert_close(every, expected.unsqueeze(1).expand(2, 3, 4))


def test_steps_go_through_all_dialogues_at_once_and_leave_those_that_are_over():
    steps = Steps.of(torch.tensor([2, 3, 1]))  # packed: 0 1 | 2 3 4 | 5
    assert steps.dialogues.tolist() == [1, 0, 2] and steps.counts == [3, 2, 1]
    assert steps.order.tolist() == [2, 0, 5, 3, 1, 4]
    assert Steps.of(torch.tensor([2, 3, 1]), backward=True).order.tolist() == [4, 1, 5, 3, 0, 2]


def test_what_comes_by_step_goes_back_to_its_utterance():
    for backward in (False, True):
        steps, rows = Steps.of(torch.tensor([2, 3, 1, 3]), backward), torch.randn(9, 2)
        by_step = [rows[steps.order][step] for step in steps.slices()]
        assert [len(step) for step in by_step] == steps.counts
        assert torch.equal(steps.packed(by_step), rows)
