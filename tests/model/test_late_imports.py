"""What importing a network leaves out, and that it is there when it is asked for."""

import subprocess
import sys

import pytest

CODE = """
import sys
import bigfusion.model.networks.bigfusion
import torch_geometric
print("transformers" in sys.modules, "torch_geometric.datasets.planetoid" in sys.modules)
print(torch_geometric.datasets.FakeDataset(num_graphs=2, num_channels=3)[1].num_features)
from torch_geometric.datasets import Planetoid
print(Planetoid.__name__)
"""


@pytest.mark.slow
def test_a_network_is_imported_without_data_sets_and_they_are_there_when_they_are_looked_up():
    ran = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines() == ["False False", "3", "Planetoid"]
