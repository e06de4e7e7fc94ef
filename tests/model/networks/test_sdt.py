import pytest
import torch

from bigfusion.model.network_settings.sdt import SDTSettings
from bigfusion.model.networks.sdt import ChannelFusion, Gate, distillation
from tests.helpers.network_suite import NetworkSuite, batch, summed


class TestSDT(NetworkSuite):
    settings = SDTSettings(width=8, heads=2, dropout=0.0)
    random = {"dropout": 0.3}


def test_equal_states_of_the_modalities_are_their_own_fusion():
    fusion, states = ChannelFusion(4).double(), torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(fusion([states, states, states]), states)


def test_a_fusion_without_weights_is_the_mean():
    fusion, states = ChannelFusion(4).double(), torch.randn(3, 5, 4, dtype=torch.float64)
    torch.nn.init.zeros_(fusion.weight.weight)
    torch.testing.assert_close(fusion(list(states)), states.mean(0))


def test_distillation_by_hand():
    even, uneven = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.75, 0.25]).log()
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert distillation(even.view(1, 1, 2), uneven.view(1, 1, 2), mask, 1.0).item() == pytest.approx(0.1438, abs=5e-5)
    assert distillation(uneven.view(1, 1, 2), uneven.view(1, 1, 2), mask, 8.0).item() == pytest.approx(0, abs=1e-7)


def test_the_temperature_divides_both_logits():
    teacher, student = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[0.0, 4.0]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    halved = distillation(teacher / 2, student / 2, mask, 1.0)
    torch.testing.assert_close(distillation(teacher, student, mask, 2.0), halved)


def test_the_identity_gate_is_0_with_slope_a_half_at_0():
    gate, value = Gate(1, learnt=False), torch.zeros(1, requires_grad=True)
    gated = gate(value)
    gated.backward()
    assert gated.item() == 0 and value.grad is not None and value.grad.item() == 0.5
    assert not list(gate.parameters())


def test_a_detached_teacher_learns_nothing_by_teaching():
    for detach in (False, True):
        network = TestSDT().network(detach_teacher=detach)
        output = network(batch())
        network.loss(output, batch())["distillation"].value.backward()
        assert (network.classifier.weight.grad is None) == detach


def test_the_loss_is_the_sum_of_all_parts_unweighted():
    network, inputs = TestSDT().network(), batch()
    parts = network.loss(network(inputs), inputs)
    assert parts.keys() == {"cross_entropy", "modalities", "distillation"}
    torch.testing.assert_close(summed(parts), sum(part.value for part in parts.values()))


def test_each_transformer_drops_out_by_itself_and_a_modality_asks_itself_what_it_asks():
    """One draw for all of them would take a channel from every copy of an utterance's state at once."""
    network, inputs = TestSDT().network(dropout=0.5).train(), batch()
    heard = {}
    for name, pair in network.pairs.items():
        pair.transformer.register_forward_pre_hook(lambda _, given, name=name: heard.update({name: given[:2]}))
    network(inputs)
    for name, (query, key) in heard.items():
        one, other = name.split("_")
        assert (query is key) == (one == other)
    dropped = [query == 0 for name, (query, _) in heard.items() if name.startswith("text_")]
    assert len(dropped) == len(network.join)
    assert not any(torch.equal(dropped[0], other) for other in dropped[1:])
