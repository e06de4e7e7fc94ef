import numpy as np
import pytest
import torch

from bigfusion.model.layers.differential import INITIAL, DifferentialAttention
from bigfusion.model.network_settings.amb_dsgdn import RELEASED, AMBDSGDNSettings
from bigfusion.model.networks.amb_dsgdn import AMBDSGDN, drop_rates, speaker_relations, weighted_f1
from bigfusion.model.scoring import metrics
from tests.helpers.network_suite import CLASSES, WIDTHS, NetworkSuite, batch


class TestAMBDSGDN(NetworkSuite):
    settings = AMBDSGDNSettings(width=8, heads=2, window=3, relation_width=3, dropout=0.0)
    random = {"dropout": 0.3}

    def network(self, seed=0, **changes):
        """The blocks' dropout is no setting: out of the way unless a test asks for it."""
        network = super().network(seed, **changes)
        for block in [*network.cross.values(), *network.same.values()]:
            for module in block.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        return network


def layer():
    torch.manual_seed(0)
    return DifferentialAttention(4, 4, 6, 3, dropout=0.0).double()


RELATION = torch.tensor([[[1, 4, 4], [5, 1, 0], [5, 0, 1]]])


def test_the_weights_of_a_row_sum_to_1_less_lambda():
    attention = layer()
    weights = attention.weights(torch.randn(1, 3, 2, 2, dtype=torch.float64), RELATION)
    expected = (1 - attention.difference()).expand(1, 3)
    torch.testing.assert_close(weights.sum(-1), expected)
    assert not weights[RELATION == 0].any()


def test_a_row_without_edges_gets_zeros():
    relation = RELATION.clone()
    relation[0, 2] = 0
    weights = layer().weights(torch.randn(1, 3, 2, 2, dtype=torch.float64), relation)
    assert not weights[0, 2].any() and weights.isfinite().all()


def test_equal_halves_cancel_where_lambda_is_1():
    attention = layer()
    attention.difference = lambda: torch.ones(())
    for weight in (attention.left, attention.right, attention.relation_score):
        weight.data[1] = weight.data[0]
    half = torch.randn(1, 3, 1, 2, dtype=torch.float64)
    assert not attention.weights(half.expand(1, 3, 2, 2), RELATION).any()


def test_lambda_starts_at_its_initial_value():
    attention = layer()
    torch.nn.init.zeros_(attention.scale)
    assert attention.difference().item() == pytest.approx(INITIAL) == pytest.approx(0.3555, abs=5e-5)


def test_the_relations_are_those_of_the_receivers_window():
    mask, speakers = torch.tensor([[True] * 4 + [False]]), torch.tensor([[0, 1, 0, 1, 0]])
    cross, same = speaker_relations(mask, speakers, 2)
    assert cross[0].tolist() == [[1, 4, 0, 0, 0], [5, 1, 4, 0, 0], [0, 5, 1, 4, 0], [0, 0, 5, 1, 0], [0] * 5]
    assert same[0].tolist() == [[1, 0, 3, 0, 0], [0, 1, 0, 3, 0], [2, 0, 1, 0, 0], [0, 2, 0, 1, 0], [0] * 5]


def test_the_leading_modalities_are_dropped_and_the_weakest_never():
    one, two, three = drop_rates(torch.tensor([0.6, 0.6, 0.3]), 0.3).tolist()
    assert one == two > 0 and three == 0
    weight = np.exp(1) / (np.exp(1) + 1)  # d = (0, 1): mean = weight * 1 / 2
    assert one == pytest.approx(0.3 * (1 + 0.9 * weight / 2), rel=1e-5)
    assert drop_rates(torch.tensor([0.5, 0.5, 0.5]), 0.3).tolist() == [0, 0, 0]
    assert drop_rates(torch.tensor([0.7]), 0.3).tolist() == [0]
    assert drop_rates(torch.tensor([0.5, 0.0, 0.0]), 0.3).isfinite().all()


def test_the_weighted_f1_is_that_of_the_scoring():
    rng = np.random.default_rng(0)
    labels, guesses = rng.integers(0, 4, 50), rng.integers(0, 4, (50, 2))
    found = weighted_f1(torch.from_numpy(guesses), torch.from_numpy(labels), 4)
    for column in range(2):
        expected = metrics.scores(labels, guesses[:, column], 4).weighted_f1
        assert found[column].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("released", RELEASED.values(), ids=RELEASED)
def test_the_blocks_drop_a_fifth_as_released_for_either_corpus(released):
    """They dropped what the setting says, which is the encoders' and the classifiers': 0.5, on MELD 0.11."""
    settings = AMBDSGDNSettings(**{"dropout": 0.5} | released["model"] | {"width": 8, "heads": 2})
    network = AMBDSGDN(settings, WIDTHS, CLASSES)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Dropout):
            inside = name.startswith(("cross.", "same."))
            assert module.p == (0.2 if inside else settings.dropout), name
    block = network.cross["text"].double()
    inputs, mask = torch.randn(400, 8).double(), torch.ones(1, 400, dtype=torch.bool)
    seen = []
    block.heads[0].register_forward_hook(lambda _, given, found: seen.append(given[0]))
    block.top.register_forward_hook(lambda _, given, found: seen.append(given[0]))
    block(inputs, torch.ones(1, 400, 400, dtype=torch.long), mask)
    assert [(rows == 0).double().mean().item() for rows in seen] == pytest.approx([0.2, 0.2], abs=0.03)


def test_a_dropped_modality_says_nothing_and_the_others_are_scaled():
    network, inputs = TestAMBDSGDN().network(drop_after=0, drop_share=1.0), batch()
    network.train()
    network.drop.copy_(torch.tensor([1.0, 0.0, 0.0]))
    network.begin_epoch(1, 10)
    for found in network._kept(2, torch.device("cpu")).tolist():
        assert found == pytest.approx([0, 1.5, 1.5])
    first = network(inputs).parts["modalities"]["text"]
    inputs.features["text"].add_(1.0)
    assert torch.equal(network(inputs).parts["modalities"]["text"], first)
    network.begin_epoch(1, 10)
    network.eval()
    assert torch.equal(network._kept(2, torch.device("cpu")), torch.ones(2, 3))


def test_a_step_measures_what_the_next_ones_dropout_goes_by():
    network, inputs = TestAMBDSGDN().network(), batch()
    output = network(inputs)
    network.after_step(output, inputs)
    labels = inputs.labels[inputs.mask]
    scored = torch.stack([logits[inputs.mask].argmax(-1) for logits in output.parts["modalities"].values()], dim=1)
    torch.testing.assert_close(network.drop.float(), drop_rates(weighted_f1(scored, labels, 3), 0.3))


def test_the_modalities_losses_are_squared():
    network, inputs = TestAMBDSGDN().network(class_weights=0.0), batch()
    output = network(inputs)
    part = network.loss(output, inputs)["modalities"]
    own = [
        torch.nn.functional.cross_entropy(logits[inputs.mask], inputs.labels[inputs.mask])
        for logits in output.parts["modalities"].values()
    ]
    assert part.weight == 0.1
    torch.testing.assert_close(part.value, sum(value**2 for value in own))
