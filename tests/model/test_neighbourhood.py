import pytest
import torch
from sklearn.linear_model import LogisticRegression
from slow_forms import dialogue, double, rows

from model.batch import collate
from model.bigfusion import BigFusion, classification_loss
from model.config import ModelSettings, TrainSettings
from model.neighbourhood import NeighbourhoodClassifier, neighbourhood
from model.optimise import Optimisation

BANDS = ((1, 1), (2, 3))


def packed(lengths: list[int], width: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask, speakers = rows(lengths, padded=2)
    return torch.randn(int(mask.sum()), width, dtype=torch.float64), mask, speakers


def slow_neighbourhood(values: torch.Tensor, mask: torch.Tensor, speakers: torch.Tensor) -> torch.Tensor:
    """Utterance by utterance, mean by mean."""
    result, first = [], 0
    for row in range(len(mask)):
        length = int(mask[row].sum())
        own, who = values[first : first + length], speakers[row, :length].tolist()
        for i in range(length):
            sets = [[i]]
            for near, far in BANDS:
                for same in (True, False):
                    for step in (-1, 1):
                        places = [i + step * distance for distance in range(near, far + 1)]
                        sets.append([j for j in places if 0 <= j < length and (who[j] == who[i]) == same])
            sets += [[j for j in range(length) if who[j] == who[i]], list(range(length))]
            means = [own[chosen].mean(0) if chosen else torch.zeros_like(own[0]) for chosen in sets]
            result.append(torch.cat(means))
        first += length
    return torch.stack(result)


def test_the_means_by_hand():
    values, mask = torch.tensor([[1.0], [2.0], [4.0], [8.0]]), torch.ones(1, 4, dtype=torch.bool)
    found = neighbourhood(values, mask, torch.tensor([[0, 1, 0, 0]]), BANDS)
    speaker, whole = 13 / 3, 15 / 4
    # own | distance 1: same earlier, same later, other earlier, other later | 2 to 3: the same | speaker | dialogue
    expected = [
        [1, 0, 0, 0, 2, 0, 6, 0, 0, speaker, whole],
        [2, 0, 0, 1, 4, 0, 0, 0, 8, 2, whole],
        [4, 0, 8, 2, 0, 1, 0, 0, 0, speaker, whole],
        [8, 4, 0, 0, 0, 1, 0, 2, 0, speaker, whole],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("lengths", [[1], [7], [5, 1, 12], [2, 2]])
def test_the_means_are_those_of_plain_loops(lengths):
    inputs = packed(lengths)
    torch.testing.assert_close(neighbourhood(*inputs, BANDS), slow_neighbourhood(*inputs))


def test_without_bands_there_are_the_speaker_and_the_dialogue():
    values, mask, speakers = packed([5, 3])
    assert neighbourhood(values, mask, speakers, ()).shape == (8, 9)


def test_columns_are_standardised_as_fitted_and_constant_ones_left():
    values, mask, speakers = packed([9, 14])
    values[:, 0] = 3.0
    classifier = NeighbourhoodClassifier(3, 4, BANDS).double()
    classifier.fit([(values, mask, speakers)])
    seen = (neighbourhood(values, mask, speakers, BANDS) - classifier.mean) / classifier.deviation
    torch.testing.assert_close(seen.mean(0), torch.zeros(33, dtype=torch.float64), atol=1e-12, rtol=0)
    varies = seen.std(0, correction=0) > 0.5
    assert not varies[0] and varies[1] and (classifier.deviation[~varies] == 1).all()


def test_it_starts_without_an_opinion_and_asks_nothing_of_its_inputs():
    values, mask, speakers = packed([4, 6])
    classifier = NeighbourhoodClassifier(3, 4, BANDS).double()
    logits = classifier(values.requires_grad_(), mask, speakers)
    assert logits.shape == (10, 4) and not logits.any()
    logits.sum().backward()
    assert values.grad is None and classifier.linear.bias.grad is not None


def test_the_objective_is_that_of_a_penalised_logistic_regression():
    """At scikit-learn's solution the gradient and what Adam adds to it for the penalty cancel."""
    penalty, some = 0.05, [dialogue(length, widths={"text": 6}, classes=3) for length in (8, 11, 13)]
    settings = ModelSettings.model_validate(
        {
            "modalities": ["text"],
            "width": 8,
            "heads": 2,
            "graph": {"neighbourhood": {"enabled": True, "bands": BANDS, "penalty": penalty}},
        }
    )
    network = BigFusion({"text": 6}, 3, settings).double()
    network.fit(some)
    inputs = double(collate(some))
    classifier = network.neighbourhood
    assert classifier is not None
    columns = neighbourhood(*network._read(inputs).packed, BANDS)
    columns = (columns - classifier.mean) / classifier.deviation
    labels = inputs.labels[inputs.mask]
    trusted = LogisticRegression(C=1 / (2 * penalty * len(labels)), tol=1e-10, max_iter=10_000).fit(columns, labels)
    with torch.no_grad():
        classifier.linear.weight.copy_(torch.from_numpy(trusted.coef_))
        classifier.linear.bias.copy_(torch.from_numpy(trusted.intercept_))

    optimizer = Optimisation(network, some, TrainSettings(), seed=0).optimizer
    decay = {id(each): group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    classification_loss(network(inputs).parts[1], inputs).backward()
    for parameter in classifier.parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > (1e-3 if parameter.dim() == 2 else 0)
        total = parameter.grad + decay[id(parameter)] * parameter
        torch.testing.assert_close(total, torch.zeros_like(total), atol=1e-6, rtol=0)
