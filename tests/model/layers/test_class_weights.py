from dataclasses import replace

import numpy as np
import pytest
import torch

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.layers.class_weights import ClassWeights
from bigfusion.model.layers.objectives import classification_loss, focal_loss
from tests.helpers.network_suite import batch, dialogues


def fitted(power: float, labels: list[int]) -> ClassWeights:
    weights = ClassWeights(4, power)
    some = dialogues((len(labels),))
    weights.fit([replace(some[0], labels=np.array(labels))])
    return weights


def test_inverse_frequencies_have_mean_1_over_the_labels():
    weights = fitted(1.0, [0, 0, 0, 1, UNLABELLED, 1, 2])()
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 1.0, 2.0, 0.0]))
    assert (weights[0] * 3 + weights[1] * 2 + weights[2]) / 6 == pytest.approx(1)


def test_a_power_of_a_half_weighs_by_the_root():
    weights = fitted(0.5, [0, 0, 0, 0, 1])()
    assert weights[1] / weights[0] == pytest.approx(2)


def test_no_power_is_no_weights():
    assert fitted(0.0, [0, 1])() is None


def test_the_focal_loss_is_the_formula_and_holds_the_factor_still():
    inputs = batch((5,))
    logits = torch.randn(1, 5, 3).double().requires_grad_()
    weights = torch.tensor([0.5, 1.0, 2.0]).double()
    loss = focal_loss(logits, inputs, 0.5, class_weights=weights)
    log_p = logits[0].log_softmax(-1).gather(1, inputs.labels[0].unsqueeze(1)).squeeze(1)
    factor = (weights[inputs.labels[0]] * (1 - log_p.exp()) ** 0.5).detach()
    expected = -(factor * log_p).mean()
    assert loss.item() == pytest.approx(expected.item())
    found, by_hand = (torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(found, by_hand)


def test_targets_that_are_the_labels_teach_what_the_labels_teach():
    inputs = batch((5, 3))
    logits = torch.randn(2, 5, 3).double()
    soft = replace(inputs, targets=torch.eye(3))
    for smoothing in (0.0, 0.1):
        torch.testing.assert_close(
            classification_loss(logits, soft, smoothing), classification_loss(logits, inputs, smoothing)
        )
        torch.testing.assert_close(focal_loss(logits, soft, 0.5, smoothing), focal_loss(logits, inputs, 0.5, smoothing))


def test_soft_targets_are_taught_by_the_label():
    inputs = batch((4,))
    rows = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.4, 0.6]]).double()
    logits = torch.randn(1, 4, 3).double()
    expected = -(rows[inputs.labels[0]] * logits[0].log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(classification_loss(logits, replace(inputs, targets=rows)), expected)
    torch.testing.assert_close(focal_loss(logits, replace(inputs, targets=rows), 0.0), expected)
