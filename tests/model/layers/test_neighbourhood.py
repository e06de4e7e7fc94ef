import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bigfusion.model.data.utterances import Utterances
from bigfusion.model.layers.neighbourhood import NeighbourhoodClassifier, neighbourhood, penalised_regression
from tests.helpers.plain.neighbourhood import neighbourhood as plain_neighbourhood
from tests.helpers.slow_forms import rows

BANDS = ((1, 1), (2, 3))


def packed(lengths: list[int], width: int = 3, absent: float = 0.0) -> Utterances:
    """A feature "text" and one "audio" of two columns, which a share of the utterances lacks."""
    torch.manual_seed(0)
    mask, speakers = rows(lengths, padded=2)
    count = int(mask.sum())
    features = {"text": torch.randn(count, width - 2, dtype=torch.float64)}
    features["audio"] = torch.randn(count, 2, dtype=torch.float64)
    present = {name: torch.rand(count) >= absent for name in features}
    features = {name: values.where(present[name].unsqueeze(1), 0) for name, values in features.items()}
    return Utterances(features, present, mask.nonzero()[:, 0], speakers[mask], mask, speakers)


def alone(values: torch.Tensor, speakers: torch.Tensor, present: torch.Tensor | None = None) -> Utterances:
    """One dialogue with one feature."""
    count = len(values)
    present = torch.ones(count, dtype=torch.bool) if present is None else present
    mask, dialogue = torch.ones(1, count, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
    return Utterances({"text": values}, {"text": present}, dialogue, speakers, mask, speakers.unsqueeze(0))


def slow_neighbourhood(utterances: Utterances) -> torch.Tensor:
    """Dialogue by dialogue, in plain loops."""
    lengths, found = utterances.lengths.tolist(), []
    for first, length in zip(np.cumsum([0, *lengths]), lengths, strict=False):
        own = slice(first, first + length)
        features = {name: values[own] for name, values in utterances.features.items()}
        present = {name: here[own].tolist() for name, here in utterances.present.items()}
        found.append(plain_neighbourhood(features, present, utterances.speaker[own].tolist(), BANDS))
    return torch.cat(found)


def test_the_means_by_hand():
    values = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    found = neighbourhood(alone(values, torch.tensor([0, 1, 0, 0])), BANDS)
    speaker, whole = 13 / 3, 15 / 4
    # own | distance 1: same earlier, same later, other earlier, other later | 2 to 3: the same | speaker | dialogue
    expected = [
        [1, 0, 0, 0, 2, 0, 6, 0, 0, speaker, whole],
        [2, 0, 0, 1, 4, 0, 0, 0, 8, 2, whole],
        [4, 0, 8, 2, 0, 1, 0, 0, 0, speaker, whole],
        [8, 4, 0, 0, 0, 1, 0, 2, 0, speaker, whole],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_who_lacks_a_feature_is_left_out_of_its_means():
    """Not counted as zero: a mean is that of the neighbours who have it, and 0 if nobody has."""
    values, here = torch.tensor([[1.0], [0.0], [4.0], [0.0]]), torch.tensor([True, False, True, False])
    found = neighbourhood(alone(values, torch.tensor([0, 1, 0, 1]), here), BANDS)
    # of the dialogue: (1 + 4) / 2, not 5 / 4; other later of the first, 2 to 3 away: nobody has it
    expected = [
        [1, 0, 0, 0, 0, 0, 4, 0, 0, 2.5, 2.5],
        [0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 2.5],
        [4, 0, 0, 0, 0, 1, 0, 0, 0, 2.5, 2.5],
        [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 2.5],
    ]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("absent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("lengths", [[1], [7], [5, 1, 12], [2, 2]])
def test_the_means_are_those_of_plain_loops(lengths, absent):
    inputs = packed(lengths, absent=absent)
    torch.testing.assert_close(neighbourhood(inputs, BANDS), slow_neighbourhood(inputs))


def test_of_centred_features_the_dialogues_mean_is_zero_and_the_speakers_comes_less_it():
    inputs = packed([5, 1, 12], absent=0.3)
    expected = slow_neighbourhood(inputs)
    audio, here = slice(10 * 3 + 1, 11 * 3), inputs.present["audio"]  # the last block: the text's column, audio's two
    speaker = slice(9 * 3 + 1, 10 * 3)
    for place, (talk, who) in enumerate(zip(inputs.dialogue.tolist(), inputs.speaker.tolist(), strict=True)):
        if (here & (inputs.dialogue == talk) & (inputs.speaker == who)).any():
            expected[place, speaker] -= expected[place, audio]
    assert expected[:, audio].any()
    expected[:, audio] = 0
    torch.testing.assert_close(neighbourhood(inputs, BANDS, {"audio"}), expected)


@pytest.mark.parametrize("speakers", [[0, 0, 0], [0, 1, 0]])
def test_the_level_of_a_centred_feature_reaches_no_mean_over_the_speaker_or_the_dialogue(speakers):
    values = torch.randn(3, 2, dtype=torch.float64)
    quiet, loud = (
        neighbourhood(alone(values + level, torch.tensor(speakers)), BANDS, {"text"})[:, -4:] for level in (0, 7)
    )
    torch.testing.assert_close(quiet, loud)
    assert quiet.any() == (speakers == [0, 1, 0])


def test_without_bands_there_are_the_speaker_and_the_dialogue():
    assert neighbourhood(packed([5, 3]), ()).shape == (8, 9)


def test_columns_are_standardised_as_fitted_and_constant_ones_left():
    inputs = packed([9, 14])
    inputs.features["text"][:] = 3.0
    classifier = NeighbourhoodClassifier(3, 4, BANDS).double()
    classifier.fit([inputs], torch.arange(23) % 4, 0.5)
    seen = (neighbourhood(inputs, BANDS) - classifier.mean) / classifier.deviation
    torch.testing.assert_close(seen.mean(0), torch.zeros(33, dtype=torch.float64), atol=1e-12, rtol=0)
    varies = seen.std(0, correction=0) > 0.5
    assert not varies[0] and varies[1] and (classifier.deviation[~varies] == 1).all()


def test_it_starts_without_an_opinion():
    logs = NeighbourhoodClassifier(3, 4, BANDS).double()(packed([4, 6]))
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
    inputs = packed([10])
    classifier = NeighbourhoodClassifier(3, 4, BANDS).double()
    classifier.fit([inputs], torch.tensor(labels), 0.1)
    chances = classifier(inputs).exp()
    assert chances.isfinite().all() and (chances[:, 3] < 0.01).all()
    if -1 in labels:
        assert (chances[:, 0] > 0.9).all()


def test_it_learns_what_only_a_neighbour_tells():
    """The label is the sign of what the other speaker said just before."""
    torch.manual_seed(0)
    length = 200
    values = torch.randn(length, 1, dtype=torch.float64)
    inputs = alone(values, torch.arange(length) % 2)
    labels = (values.roll(1, 0)[:, 0] > 0).long()
    classifier = NeighbourhoodClassifier(1, 2, BANDS).double()
    classifier.fit([inputs], labels, 1e-3)
    found = classifier(inputs).argmax(-1)
    assert (found == labels)[1:].double().mean() > 0.95
