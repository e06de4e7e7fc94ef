import math

import pytest
import torch

from bigfusion.model.contrast.losses import contrastive_loss, supervised_contrast
from bigfusion.model.data.batch import UNLABELLED
from tests.helpers.slow_forms import rows


def slow_contrast(first, second, temperature=1.0):
    """Eqs. 1-3 node by node, both directions, of the dialogues in two lists of (n, D)."""
    losses = []
    for one, other in [*zip(first, second, strict=True), *zip(second, first, strict=True)]:
        for i in range(len(one)):

            def similarity(a, b):
                return math.exp(torch.nn.functional.cosine_similarity(a, b, dim=0).item() / temperature)

            positive = similarity(one[i], other[i])
            between = sum(similarity(one[i], other[j]) for j in range(len(one)))
            within = positive + sum(similarity(one[i], one[j]) for j in range(len(one)) if j != i)
            losses.append(-math.log(positive / between) - math.log(positive / within))
    return sum(losses) / (2 * len(losses))


def padded(parts, mask):
    values = torch.full((*mask.shape, parts[0].shape[1]), 7.0, dtype=parts[0].dtype)
    values[mask] = torch.cat(parts)
    return values


def case(lengths, dtype=torch.float64, extra=2):
    mask, _ = rows(lengths, padded=extra)
    first, second = ([torch.randn(length, 5, dtype=dtype) for length in lengths] for _ in range(2))
    return first, second, mask


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_equals_the_equations_node_by_node(temperature):
    torch.manual_seed(0)
    first, second, mask = case([4, 1, 6])
    found = contrastive_loss(padded(first, mask), padded(second, mask), mask, temperature)
    assert found.item() == pytest.approx(slow_contrast(first, second, temperature), rel=1e-9)


def test_hand_computed():
    """Two nodes, orthogonal, the same in both graphs: every denominator is e + 1."""
    nodes, mask = torch.eye(2).unsqueeze(0), torch.ones(1, 2, dtype=torch.bool)
    expected = -math.log(math.e / (math.e + 1))  # inter and intra alike; their sum over 2 n is one of them
    assert contrastive_loss(nodes, 3 * nodes, mask, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_a_node_without_negatives_has_no_loss():
    first, second, mask = case([1])
    values = padded(first, mask).requires_grad_()
    loss = contrastive_loss(values, padded(second, mask), mask, 0.01)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert values.grad.isfinite().all()


def test_both_directions_count_alike_and_scale_does_not():
    torch.manual_seed(1)
    first, second, mask = case([5, 3])
    one, other = padded(first, mask), padded(second, mask)
    assert torch.allclose(contrastive_loss(one, other, mask, 0.5), contrastive_loss(other, one, mask, 0.5))
    assert torch.allclose(contrastive_loss(one, other, mask, 0.5), contrastive_loss(4 * one, other / 9, mask, 0.5))


def test_padding_and_its_content_change_nothing():
    torch.manual_seed(2)
    first, second, mask = case([5, 3], extra=0)
    longer = torch.nn.functional.pad(mask, (0, 6))
    short = contrastive_loss(padded(first, mask), padded(second, mask), mask, 1.0)
    assert torch.allclose(contrastive_loss(padded(first, longer), padded(second, longer), longer, 1.0), short)


def test_alignment_lowers_it():
    torch.manual_seed(3)
    first, second, mask = case([6])
    apart = contrastive_loss(padded(first, mask), padded(second, mask), mask, 1.0)
    assert contrastive_loss(padded(first, mask), padded(first, mask), mask, 1.0) < apart


@pytest.mark.parametrize("mask", [torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool)])
def test_zero_vectors_and_empty_batches_are_finite(mask):
    values = torch.zeros(2, 3, 4, requires_grad=True)
    loss = contrastive_loss(values, torch.zeros(2, 3, 4), mask, 1.0)
    loss.backward()
    assert loss.isfinite() and values.grad.isfinite().all()
    assert loss.item() == pytest.approx(math.log(3) if mask.any() else 0)  # all similarities are equal


def test_gradient():
    torch.manual_seed(4)
    first, second, mask = case([3, 1, 2], extra=1)
    values = [padded(part, mask).requires_grad_() for part in (first, second)]
    assert torch.autograd.gradcheck(lambda *pair: contrastive_loss(*pair, mask, 0.7), values)


def slow_supervised(first, second, labels, group, temperature):
    """Anchor by anchor: -mean over positives of the log of their share among all others of the group in both views."""
    nodes, losses = len(labels), []
    both = torch.cat([first, second])
    for i in range(2 * nodes):
        others = [j for j in range(2 * nodes) if j != i and group[j % nodes] == group[i % nodes]]
        same = torch.nn.functional.cosine_similarity(both[i].unsqueeze(0), both[others]) / temperature
        shares = dict(zip(others, same.softmax(0).tolist(), strict=True))
        label = labels[i % nodes]
        alike = [j for j in others if j % nodes == i % nodes or (label != UNLABELLED and labels[j % nodes] == label)]
        losses.append(-sum(math.log(shares[j]) for j in alike) / len(alike))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("groups", [1, 3])
def test_supervised_equals_its_definition_anchor_by_anchor(groups):
    torch.manual_seed(0)
    first, second = torch.randn(2, 9, 5, dtype=torch.float64)
    labels, group = torch.tensor([0, 1, 1, UNLABELLED, 0, 2, UNLABELLED, 1, 0]), torch.arange(9) % groups
    found = supervised_contrast(first, second, labels, group, 0.3)
    assert found.item() == pytest.approx(slow_supervised(first, second, labels, group, 0.3))


def test_supervised_by_hand():
    """Two nodes of two labels, each the same in both views and at right angles to the other: -log(e / (e + 2))."""
    views, labels, group = torch.eye(2), torch.tensor([0, 1]), torch.zeros(2, dtype=torch.long)
    expected = -math.log(math.e / (math.e + 2))
    assert supervised_contrast(views, 2 * views, labels, group, 1.0).item() == pytest.approx(expected)


def test_supervised_draws_a_label_together():
    apart, together = torch.eye(4), torch.eye(4)[[0, 0, 1, 1]]
    labels, group = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long)
    loose, tight = (supervised_contrast(nodes, nodes, labels, group, 0.5) for nodes in (apart, together))
    assert tight < loose


def test_supervised_without_nodes_or_negatives_is_zero_with_finite_gradients():
    for nodes in (0, 1):
        first = torch.randn(nodes, 3, requires_grad=True)
        index = torch.zeros(nodes, dtype=torch.long)
        found = supervised_contrast(first, first * 2, index, index, 0.1)
        found.backward()
        assert found == 0 and first.grad.isfinite().all()


def test_supervised_gradient():
    torch.manual_seed(0)
    first, second = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    labels, group = torch.tensor([0, 1, 0, UNLABELLED, 1, 1]), torch.tensor([0, 0, 0, 0, 1, 1])
    assert torch.autograd.gradcheck(lambda *views: supervised_contrast(*views, labels, group, 0.5), (first, second))
