import math

import pytest
import torch

from bigfusion.model.layers.window import edges, heard
from bigfusion.model.network_settings.joyful import JOYFULSettings
from bigfusion.model.networks.joyful import aimed_anew, align, info_nce, proximate
from bigfusion.model.settings import network_settings
from tests.helpers.network_suite import NetworkSuite, batch

SMALL = {
    "inner_fusion": 10,
    "fused": 7,
    "local_width": 6,
    "width": 8,
    "inner": 10,
    "layers": 2,
    "graph_heads": 2,
    "past": 2,
    "future": 1,
    "dropout": 0.0,
    "mask": 0.0,
    "perturb": 0.0,
}


class TestJOYFUL(NetworkSuite):
    settings = JOYFULSettings(**SMALL)
    random = {"mask": 0.3, "dropout": 0.3}


class TestJOYFULAsReleased(NetworkSuite):
    settings = JOYFULSettings(**SMALL, form="released", relations="order", temperature=0.2)
    random = {"mask": 0.3, "dropout": 0.3, "perturb": 0.5}


def test_a_basis_of_zeros_gives_the_mean_in_every_coordinate():
    values = torch.randn(4, 6, dtype=torch.float64)
    found = align(values, torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(found, values.mean(1, keepdim=True).expand(4, 6))


def test_the_alignment_is_a_softmax_over_coordinates():
    values, basis = torch.randn(4, 6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    weights = torch.einsum("i,vj->vij", basis, values).softmax(-1)
    torch.testing.assert_close(align(values, basis), torch.einsum("vij,vj->vi", weights, values))


def test_the_contrast_of_two_orthonormal_nodes_by_hand():
    nodes, mask = torch.eye(2).unsqueeze(0), torch.ones(1, 2, dtype=torch.bool)
    expected = -math.log(math.exp(5) / (math.exp(5) + 2))
    assert expected == pytest.approx(0.0134, abs=5e-5)
    assert info_nce(nodes, nodes, mask, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_the_released_form_has_the_released_numbers_unless_others_are_set():
    """It masked and perturbed by the paper's 0.2 each, and weighed as the paper does."""
    names = ("mask", "perturb", "temperature", "contrast_weight", "reconstruction_weight")
    paper, released = JOYFULSettings(), network_settings({"kind": "joyful", "form": "released"})
    assert [getattr(paper, name) for name in names] == [0.2, 0.2, 1.0, 0.3, 0.06]
    assert [getattr(released, name) for name in names] == [0.25, 0.1, 0.2, 0.2, 0.05]
    assert JOYFULSettings(form="released", mask=0.2).mask == 0.2
    assert JOYFULSettings.model_validate(released.model_dump()) == released
    assert JOYFULSettings.model_validate(released.model_dump() | {"perturb": 0.2}).perturb == 0.2


def test_without_masks_and_perturbation_the_views_are_the_original():
    for suite in (TestJOYFUL(), TestJOYFULAsReleased()):
        network, inputs = suite.network(proximity=1.0), batch()
        nodes = torch.randn(int(inputs.mask.sum()), 8, dtype=torch.float64)
        hears = heard(inputs.mask, 2, 1)
        original = network._convolve(nodes, edges(hears, inputs.mask), inputs.speakers[inputs.mask])
        for view in network._views(nodes, hears, inputs):
            assert torch.equal(view, original)


def test_edges_are_aimed_anew_within_their_dialogue():
    torch.manual_seed(0)
    mask = torch.tensor([[True] * 9, [True] * 5 + [False] * 4])
    dialogue = mask.nonzero()[:, 0]
    linked = edges(heard(mask, 2, 2), mask)
    found = aimed_anew(linked, mask.sum(1), dialogue, 0.5)
    assert torch.equal(found[1], linked[1]) and not torch.equal(found[0], linked[0])
    assert torch.equal(dialogue[found[0]], dialogue[found[1]])
    assert torch.equal(aimed_anew(linked, mask.sum(1), dialogue, 0.0), linked)


def test_the_original_graph_stays_whole_when_a_view_is_perturbed():
    torch.manual_seed(0)
    network, inputs = TestJOYFUL().network(perturb=0.9).train(), batch()
    whole = TestJOYFUL().network().train()
    torch.testing.assert_close(network(inputs).logits, whole(inputs).logits)


def test_the_proximity_is_katzs_by_its_series():
    hears = heard(torch.tensor([[True] * 7 + [False]]), 1, 1)
    adjacency = (hears[0] & ~torch.eye(8, dtype=torch.bool)).double()
    power, katz = torch.eye(8, dtype=torch.double), torch.zeros(8, 8, dtype=torch.double)
    for _ in range(400):
        power = power @ adjacency * 0.45  # 0.9 over a degree of 2
        katz += power
    katz.fill_diagonal_(0)
    found = proximate(hears, 0.5)[0]
    assert torch.equal(found, katz > 0.5 * katz.max())
    assert (found & ~hears[0]).any() and not found[7].any()


def test_contrast_is_a_matter_of_training():
    network, inputs = TestJOYFUL().network(), batch()
    assert "contrast" in network.train()(inputs).parts
    assert "contrast" not in network.eval()(inputs).parts
