import torch

from bigfusion.model.contrast_settings.identical import IdenticalSettings
from tests.helpers.contrast_suite import ContrastSuite, built, graph_of_lengths, host_of, loss_of


class TestIdentical(ContrastSuite):
    settings = IdenticalSettings()
    nothing = IdenticalSettings()
    random = False


def test_two_orthogonal_nodes_by_hand():
    """Both views alike: a node's positive has cosine 1, the other node cosine 0: log(1 + 1/e) in both losses."""
    graph, settings = graph_of_lengths((2,)), IdenticalSettings()
    host = host_of(graph, settings)
    host.encoder.forward = lambda nodes, graph, weights=None: nodes  # type: ignore[method-assign]
    nodes = torch.eye(2, 8, dtype=torch.float64)
    loss = loss_of(built(settings).views(nodes, graph, host), graph, host)
    expected = torch.log1p(torch.exp(torch.tensor(-1.0, dtype=torch.float64)))
    torch.testing.assert_close(loss, expected)
