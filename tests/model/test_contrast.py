import math

import pytest
import torch
from slow_forms import rows

from model.contrast import contrastive_loss


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
