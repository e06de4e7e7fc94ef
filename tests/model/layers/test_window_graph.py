import pytest
import torch
from torch_geometric.nn import GATv2Conv

from bigfusion.model.layers import window_graph
from bigfusion.model.layers.window import edges, heard
from bigfusion.model.layers.window_graph import window_attention
from tests.helpers.slow_forms import rows


def layer() -> GATv2Conv:
    torch.manual_seed(0)
    found = GATv2Conv(5, 3, heads=2, concat=False, add_self_loops=False).double()
    torch.nn.init.normal_(found.bias)
    return found


@pytest.mark.parametrize("lengths", [[7, 1, 19], [1], [40, 3]])
@pytest.mark.parametrize(("past", "future"), [(2, 3), (0, 0), (4, 0), (60, 60)])
@pytest.mark.parametrize("rows_at_a_time", [256, 4])
def test_outputs_and_gradients_are_those_of_pygs_layer_on_the_windows_edges(
    lengths, past, future, rows_at_a_time, monkeypatch
):
    monkeypatch.setattr(window_graph, "ROWS", rows_at_a_time)
    some, (mask, _) = layer(), rows(lengths, padded=2)
    states = torch.randn(int(mask.sum()), 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(states), 3, dtype=torch.float64)
    found = window_attention(some, states, mask.nonzero()[:, 0], past, future)
    expected = some(states, edges(heard(mask, past, future), mask))
    torch.testing.assert_close(found, expected)
    inputs = [states, *some.parameters()]
    slopes = torch.autograd.grad((found * weights).sum(), inputs)
    for own, other in zip(slopes, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(own, other)
