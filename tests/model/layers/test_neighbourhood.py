import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bigfusion.model.layers.neighbourhood import NeighbourhoodClassifier, neighbourhood, penalised_regression
from tests.helpers.slow_forms import rows

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
    classifier.fit([(values, mask, speakers)], torch.arange(23) % 4, 0.5)
    seen = (neighbourhood(values, mask, speakers, BANDS) - classifier.mean) / classifier.deviation
    torch.testing.assert_close(seen.mean(0), torch.zeros(33, dtype=torch.float64), atol=1e-12, rtol=0)
    varies = seen.std(0, correction=0) > 0.5
    assert not varies[0] and varies[1] and (classifier.deviation[~varies] == 1).all()


def test_it_starts_without_an_opinion():
    logs = NeighbourhoodClassifier(3, 4, BANDS).double()(*packed([4, 6]))
    torch.testing.assert_close(logs.exp(), torch.full((10, 4), 0.25, dtype=torch.float64))


def test_the_regression_is_that_of_scikit_learn():
    torch.manual_seed(0)
    columns, labels, penalty = torch.randn(60, 20, dtype=torch.float64), torch.arange(60) % 3, 0.05
    weight, bias = penalised_regression(columns, labels, 3, penalty)
    trusted = LogisticRegression(C=1 / (2 * penalty * 60), tol=1e-10, max_iter=10_000).fit(columns, labels)
    torch.testing.assert_close(weight, torch.from_numpy(trusted.coef_), atol=1e-3, rtol=0)
    expected = torch.from_numpy(trusted.intercept_)
    torch.testing.assert_close(bias - bias.mean(), expected - expected.mean(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("labels", [[0, 1] * 5, [2] * 10, [0, -1] * 5])
def test_missing_classes_and_labels(labels):
    """A class that no utterance has is not expected; an utterance without a label teaches nothing."""
    values, mask, speakers = packed([10])
    classifier = NeighbourhoodClassifier(3, 4, BANDS).double()
    classifier.fit([(values, mask, speakers)], torch.tensor(labels), 0.1)
    chances = classifier(values, mask, speakers).exp()
    assert chances.isfinite().all() and (chances[:, 3] < 0.01).all()
    if -1 in labels:
        assert (chances[:, 0] > 0.9).all()


def test_it_learns_what_only_a_neighbour_tells():
    """The label is the sign of what the other speaker said just before."""
    torch.manual_seed(0)
    length = 200
    values, mask = torch.randn(length, 1, dtype=torch.float64), torch.ones(1, length, dtype=torch.bool)
    speakers = (torch.arange(length) % 2).unsqueeze(0)
    labels = (values.roll(1, 0)[:, 0] > 0).long()
    classifier = NeighbourhoodClassifier(1, 2, BANDS).double()
    classifier.fit([(values, mask, speakers)], labels, 1e-3)
    found = classifier(values, mask, speakers).argmax(-1)
    assert (found == labels)[1:].double().mean() > 0.95
