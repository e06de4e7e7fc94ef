import torch
from torch import nn

from bigfusion.model.layers.recurrence import PartlyKnown, reversal


def test_a_partly_known_step_is_that_of_torchs_cell():
    torch.manual_seed(0)
    cell = nn.GRUCell(7, 4).double()
    known, rest, state = torch.randn(2, 3, 5).double(), torch.randn(2, 2).double(), torch.randn(2, 4).double()
    steps = PartlyKnown(cell, known)
    for index in range(3):
        expected = cell(torch.cat([known[:, index], rest], dim=1), state)
        torch.testing.assert_close(steps.step(index, rest, state), expected)
        every = steps.step(index, rest.unsqueeze(1).expand(2, 3, 2), state.unsqueeze(1).expand(2, 3, 4))
        torch.testing.assert_close(every, expected.unsqueeze(1).expand(2, 3, 4))


def test_reversal_turns_dialogues_within_their_length():
    assert reversal(torch.tensor([3, 1, 4]), 4).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]]
