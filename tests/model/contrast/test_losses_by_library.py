"""The losses against pytorch-metric-learning, which the project does not depend on."""

import pytest
import torch

from bigfusion.model.contrast.losses import contrastive_loss, supervised_contrast
from bigfusion.model.data.batch import UNLABELLED

library = pytest.importorskip("pytorch_metric_learning.losses", reason="pytorch-metric-learning is not installed")


def two_views(nodes, seed=0):
    torch.manual_seed(seed)
    return torch.randn(nodes, 6, dtype=torch.float64), torch.randn(nodes, 6, dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_l_cl_is_the_mean_of_four_nt_xents(temperature):
    """Each view as the anchors; the negatives from the other view, and from the same one."""
    (first, second), nodes = two_views(7), 7
    loss = library.NTXentLoss(temperature)
    place = torch.arange(nodes)
    anchor, negative = (~torch.eye(nodes, dtype=torch.bool)).nonzero().T
    found = []
    for one, other in ((first, second), (second, first)):
        both = torch.cat([other, one])
        for shift in (0, nodes):
            pairs = (place, place, anchor, negative + shift)
            found.append(loss(one, indices_tuple=pairs, ref_emb=both, labels=None))
    mask = torch.ones(1, nodes, dtype=torch.bool)
    ours = contrastive_loss(first.unsqueeze(0), second.unsqueeze(0), mask, temperature)
    torch.testing.assert_close(ours, torch.stack(found).mean())


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_supervised_contrast_is_supcon(temperature):
    first, second = two_views(9)
    labels = torch.tensor([0, 1, 2, 0, 1, 1, 0, 2, 0])
    expected = library.SupConLoss(temperature)(torch.cat([first, second]), labels.repeat(2))
    ours = supervised_contrast(first, second, labels, torch.zeros_like(labels), temperature)
    torch.testing.assert_close(ours, expected)


def test_without_labels_the_supervised_contrast_is_nt_xent():
    first, second = two_views(5)
    unlabelled = torch.full((5,), UNLABELLED)
    expected = library.NTXentLoss(0.5)(torch.cat([first, second]), torch.arange(5).repeat(2))
    ours = supervised_contrast(first, second, unlabelled, torch.zeros_like(unlabelled), 0.5)
    torch.testing.assert_close(ours, expected)
