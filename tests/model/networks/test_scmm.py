from dataclasses import replace

import pytest
import torch
from torch import nn

from bigfusion.model.network_settings.scmm import SCMMSettings
from bigfusion.model.networks.scmm import SCMM, Selection
from tests.helpers.network_suite import CLASSES, CLOSE, WIDTHS, NetworkSuite, batch

SMALL = SCMMSettings(width=8, heads=2, feed_forward=12, speakers=3, dropout=0.0)


class TestSCMM(NetworkSuite):
    settings = SMALL
    random = {"dropout": 0.3}


class TestHardSelection(NetworkSuite):
    """Gumbel noise is drawn for each real utterance: without it in these tests, with it in those of the random."""

    settings = SMALL.model_copy(update={"hard": True, "short": "attention"})
    random = {"dropout": 0.3}

    @pytest.fixture(autouse=True)
    def _without_noise(self, monkeypatch):
        def hard(scores, tau, hard):
            soft = scores.softmax(-1)
            return torch.zeros_like(soft).scatter(-1, soft.argmax(-1, keepdim=True), 1.0) - soft.detach() + soft

        monkeypatch.setattr("bigfusion.model.networks.scmm.gumbel_softmax", hard)


class TestIndependent(NetworkSuite):
    settings = SMALL.model_copy(update={"context": "independent", "interaction": "partial"})


def network(**changes) -> SCMM:
    torch.manual_seed(0)
    return SCMM(SMALL.model_copy(update=changes), WIDTHS, CLASSES).double().eval()


def test_a_query_of_zeros_gives_the_mean_of_the_paths():
    select = Selection(2, hard=False)
    nn.init.zeros_(select.query)
    paths = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]]])
    mixed, weights = select(paths)
    torch.testing.assert_close(mixed, torch.tensor([[3.0, 5.0]]))
    torch.testing.assert_close(weights, torch.full((1, 3), 1 / 3))


def test_a_query_weighs_the_paths_as_worked_out_by_hand():
    select = Selection(2, hard=False)
    select.query.data = torch.tensor([2.0**0.5, 0.0])
    paths = torch.tensor([[[0.0, 1.0], [torch.tensor(2.0).log(), 3.0]]])  # scores 0 and log 2
    mixed, weights = select(paths)
    torch.testing.assert_close(weights, torch.tensor([[1 / 3, 2 / 3]]))
    assert mixed[0, 1].item() == pytest.approx(7 / 3)


@pytest.mark.parametrize("training", [False, True])
def test_a_hard_selection_takes_one_path_and_teaches_all(training):
    torch.manual_seed(0)
    select = Selection(4, hard=True).train(training)
    paths = torch.randn(50, 3, 4).requires_grad_()
    mixed, weights = select(paths)
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert ((weights > 0.999) | (weights.abs() < 1e-3)).all()
    torch.testing.assert_close(mixed, paths[torch.arange(50), weights.argmax(1)])
    mixed.sum().backward()
    assert (select.query.grad is not None) == training


def test_the_weights_of_the_paths_are_told_and_sum_to_1():
    inputs = batch()
    found = network()(inputs).representations
    weights = found["context_paths"].unflatten(2, (3, 3))
    torch.testing.assert_close(weights.sum(-1)[inputs.mask], torch.ones(16, 3).double())
    torch.testing.assert_close(found["interaction_paths"].sum(-1)[inputs.mask], torch.ones(16).double())


def moved_by(some: SCMM, place: int) -> list[int]:
    """The utterances whose logits move when one changes."""
    inputs, changed = batch((16,)), batch((16,))
    for name in WIDTHS:
        inputs.present[name][:], changed.present[name][:] = True, True
        changed.features[name][0, place] += 2
    distance = (some(changed).logits - some(inputs).logits)[0].abs().amax(1)
    return (distance > 1e-12).nonzero().flatten().tolist()


def test_the_independent_path_reads_its_own_utterance_alone():
    assert moved_by(network(context="independent"), 6) == [6]


def test_the_short_path_of_attention_ends_with_its_window():
    assert moved_by(network(context="short", short="attention"), 7) == list(range(2, 13))
    assert moved_by(network(context="long"), 7) == list(range(16))


@pytest.mark.parametrize("interaction", ["full", "partial", "biased"])
def test_each_interaction_reads_every_modality_of_the_utterance(interaction):
    some, inputs = network(context="independent", interaction=interaction), batch((3,))
    for name in WIDTHS:
        inputs.present[name][:] = True
    for name, rows in inputs.features.items():
        changed = replace(inputs, features=inputs.features | {name: rows + 1})
        assert not torch.allclose(some(changed).logits, some(inputs).logits, **CLOSE)


def test_speakers_beyond_the_embeddings_count_as_the_last():
    some, inputs = network(), batch()
    beyond = replace(inputs, speakers=torch.where(inputs.speakers == 2, 7, inputs.speakers))
    assert torch.equal(some(beyond).logits, some(inputs).logits)
