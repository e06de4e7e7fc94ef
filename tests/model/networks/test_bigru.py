import torch

from bigfusion.model.network_settings.bigru import BiGRUSettings
from bigfusion.model.networks.bigru import BiGRU
from tests.helpers.network_suite import CLASSES, WIDTHS, NetworkSuite, batch


class TestBiGRU(NetworkSuite):
    settings = BiGRUSettings(width=8, dropout=0.0)
    random = {"dropout": 0.3}


def test_the_context_is_that_of_a_gru_over_each_dialogue_alone():
    torch.manual_seed(0)
    network = BiGRU(BiGRUSettings(width=8, layers=1), WIDTHS, CLASSES).double().eval()
    inputs = batch(pad_to=14)
    output = network(inputs)
    for row, length in enumerate((6, 1, 9)):
        fused = output.representations["fusion"][row, :length]
        expected, _ = network.gru(fused)  # no padding at all
        torch.testing.assert_close(output.representations["context"][row, :length], expected)
