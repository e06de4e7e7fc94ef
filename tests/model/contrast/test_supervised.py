import pytest
import torch
from pydantic import ValidationError

from bigfusion.model.contrast.losses import supervised_contrast
from bigfusion.model.contrast_settings.edge_drop import EdgeDropSettings
from bigfusion.model.contrast_settings.supervised import SupervisedSettings
from tests.helpers.contrast_suite import ContrastSuite, built, encoded, graph_of_lengths, host_of, inputs_of, loss_of


class TestSupervised(ContrastSuite):
    settings = SupervisedSettings()
    nothing = SupervisedSettings(ratio=(0, 0))


def test_it_differs_from_edge_drop_in_its_positives_alone():
    graph, settings = graph_of_lengths(), SupervisedSettings()
    nodes, host = inputs_of(graph), host_of(graph, settings)
    found = []
    for each in (settings, EdgeDropSettings()):
        torch.manual_seed(9)
        found.append(built(each).views(nodes, graph, host))
    torch.manual_seed(3)
    assert torch.equal(found[0].first.weights, found[1].first.weights)
    first, second = (encoded(view, graph, host) for view in (found[0].first, found[0].second))
    expected = supervised_contrast(first, second, host.compare.labels, graph.dialogue, 1.0)
    torch.testing.assert_close(loss_of(found[0], graph, host), expected)


def test_its_positives_cannot_be_changed():
    with pytest.raises(ValidationError, match="positives"):
        SupervisedSettings(positives="node")
