from pathlib import Path

import pytest
import torch
from scipy.stats import kstest

from bigfusion.model.contrast import ad_gcl
from bigfusion.model.contrast.ad_gcl import ADGCL, dropped_share, keep_weights
from bigfusion.model.contrast.base import Host
from bigfusion.model.contrast_settings.ad_gcl import ADGCLSettings
from bigfusion.model.networks.bigfusion import BigFusion
from bigfusion.model.runs.tensors import read_tensors, write_tensors
from bigfusion.model.seed import deterministic, seed_everything
from bigfusion.model.training.distributed import Rank, processes
from bigfusion.model.training.optimise import Optimisation
from tests.helpers.contrast_suite import ContrastSuite, built, graph_of_lengths, host_of, inputs_of
from tests.helpers.small_runs import LABELS, WIDTHS, small_data, small_model, small_training


class TestADGCL(ContrastSuite):
    settings = ADGCLSettings()


def drawn(logit):
    graph = graph_of_lengths((40,) * 60)
    torch.manual_seed(4)
    return keep_weights(torch.full((graph.edge_index.shape[1],), logit).double(), graph)


def test_a_logit_of_0_draws_uniform_weights():
    weights = drawn(0.0)
    assert len(weights) > 10_000 and kstest(weights.numpy(), "uniform").pvalue > 0.01


def test_a_logit_of_2_by_hand():
    """P(w > 0.5) = sigmoid(2) = 0.881; the mean, an integral, is 0.794."""
    weights = drawn(2.0)
    assert (weights > 0.5).double().mean().item() == pytest.approx(0.881, abs=0.01)
    assert weights.mean().item() == pytest.approx(0.794, abs=0.01)


def test_the_dropped_share_by_hand():
    """Four edges of weights 1, 0, 0.5, 0.5 and two of 1; the dialogue of one node has no edge and no share."""
    graph = graph_of_lengths((3, 1, 2), window=1)
    weights = torch.tensor([1.0, 0.0, 0.5, 0.5, 1.0, 1.0]).double()
    assert dropped_share(weights, graph).tolist() == [0.5, 0.0]
    assert dropped_share(torch.zeros(6), graph).tolist() == [1.0, 1.0]
    assert dropped_share(weights[:0], graph_of_lengths((1, 1))).tolist() == []


def case(**changes):
    settings = ADGCLSettings(learning_rate=0.02, **changes)
    graph = graph_of_lengths((9, 1, 2, 14))
    contrast = built(settings)
    assert isinstance(contrast, ADGCL)
    return contrast, inputs_of(graph), graph, host_of(graph, settings)


def test_a_step_of_the_augmenter_raises_its_gain_and_moves_nothing_else():
    contrast, nodes, graph, host = case()
    optimizers = contrast.optimizers()
    before = [weight.clone() for weight in host.encoder.parameters()]

    def gain():
        torch.manual_seed(6)
        return contrast.gain(nodes, graph, host).item()

    start = gain()
    for _ in range(10):
        torch.manual_seed(6)
        contrast.own_step(nodes, graph, host, optimizers)
    assert gain() > start + 1e-3
    for old, weight in zip(before, host.encoder.parameters(), strict=True):
        assert torch.equal(old, weight) and weight.grad is None


def test_the_networks_step_moves_no_weight_of_the_augmenter():
    contrast, nodes, graph, host = case()
    views = contrast.views(nodes.requires_grad_(), graph, host)
    assert views.first.weights is None and views.penalty is None and not views.second.weights.requires_grad
    first, second = host.encoder(nodes, graph), host.encoder(nodes, graph, views.second.weights)
    host.compare(first, second).backward()
    assert all(weight.grad is None for weight in contrast.augmenter.parameters())
    assert all(weight.grad.abs().sum() > 0 for weight in host.encoder.parameters())


def test_the_gradient_reaches_all_of_the_augmenter():
    contrast, nodes, graph, host = case()
    contrast.gain(nodes.requires_grad_(), graph, host).backward()
    for name, weight in contrast.augmenter.named_parameters():
        assert weight.grad.abs().sum() > 0, name


def kept(contrast, nodes, graph, host, steps):
    optimizers = contrast.optimizers()
    for _ in range(steps):
        contrast.own_step(nodes, graph, host, optimizers)
    with torch.no_grad():
        return keep_weights(contrast.augmenter(nodes, graph), graph).mean().item()


def test_dear_drops_are_not_made_and_free_ones_are():
    assert kept(*case(regulariser=1000.0), steps=20) > 0.95
    start = kept(*case(regulariser=0.0), steps=0)
    assert kept(*case(regulariser=0.0), steps=20) < start - 0.1


def test_both_directions_of_an_edge_may_differ():
    contrast, nodes, graph, _ = case()
    logits = contrast.augmenter(nodes, graph)
    number = {(int(u), int(v)): place for place, (u, v) in enumerate(graph.edge_index.T)}
    back = torch.tensor([number[int(v), int(u)] for u, v in graph.edge_index.T])
    assert not torch.isclose(logits, logits[back]).any()


@pytest.mark.parametrize("negatives", ["dialogue", "batch"])
def test_processes_that_share_a_batch_climb_the_whole_batchs_gain(negatives):
    """Rows that gather() brings from elsewhere count in the mean and have no gradient here."""
    contrast, nodes, graph, host = case(negatives=negatives)
    torch.manual_seed(6)
    alone = contrast.gain(nodes, graph, host)
    parameters = list(contrast.augmenter.parameters())
    gradients = torch.autograd.grad(alone, parameters)
    summed = []
    shared = Host(
        host.encoder,
        host.compare,
        gather=lambda rows: torch.cat([rows, rows.detach()]),  # a peer with the same rows
        sum_gradients=lambda weights: summed.extend(weight.grad.clone() for weight in weights),
    )
    torch.manual_seed(6)
    contrast.own_step(nodes, graph, shared, contrast.optimizers())
    assert len(summed) == len(parameters)
    if negatives == "dialogue":
        for found, expected in zip(summed, gradients, strict=True):
            torch.testing.assert_close(2 * found, -expected)  # two processes' gradients sum to the batch's


CASES = [(size, negatives) for size in (7, 1) for negatives in ("dialogue", "batch")]
"""Twelve dialogues shared out unevenly, and one for two processes: one of them has nothing to do."""


def epochs(rank: Rank, folder: Path) -> None:
    """An epoch of each case without noise; the first process writes all weights, the augmenter's among them."""
    with deterministic(1), pytest.MonkeyPatch.context() as patch:
        patch.setattr(ad_gcl, "uniform", lambda count, graph: torch.full((count,), 0.4))
        for case, (size, negatives) in enumerate(CASES):
            seed_everything(0)
            data = small_data()
            settings = small_model(dropout=0, contrast={"kind": "ad_gcl", "negatives": negatives})
            network = BigFusion(settings, WIDTHS, len(LABELS))
            network.fit(data.train)
            before = {name: value.clone() for name, value in network.contrast.named_parameters()}
            Optimisation(network, data.train, small_training(batch_size=size), 0, rank).epoch(1)
            assert all(not torch.equal(before[name], value) for name, value in network.contrast.named_parameters())
            if rank.first:
                write_tensors(folder / f"{rank.count}-{case}.safetensors", network.state_dict(), {})


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    for count in (1, 2):
        with processes(count, torch.device("cpu"), epochs, tmp_path) as rank:
            epochs(rank, tmp_path)
    for case in range(len(CASES)):
        one, two = (read_tensors(tmp_path / f"{count}-{case}.safetensors")[0] for count in (1, 2))
        assert any(name.startswith("contrast.") for name in one)
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=f"{CASES[case]} {name}")
