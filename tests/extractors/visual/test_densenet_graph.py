"""The DenseNet's folded graph computes what the network computes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bigfusion.extractors.files import FACE_WEIGHTS
from bigfusion.extractors.visual.densenet import FaceNet, load, seeded
from bigfusion.extractors.visual.densenet_graph import graph
from bigfusion.extractors.visual.embedder import FaceEmbedder
from bigfusion.extractors.visual.onnx_session import session

pytestmark = pytest.mark.usefixtures("one_thread")

TOLERANCE = 1e-6
"""The largest distance of a vector from PyTorch's, as a share of its length."""


def shaken() -> FaceNet:
    """Untrained weights whose normalisations do something: each with a mean, a variance, a scale and a shift."""
    network, generator = seeded(3), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                for part, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.3, 0.3),
                    (module.running_mean, -0.3, 0.3),
                    (module.running_var, 0.5, 2.0),
                ):
                    part.uniform_(low, high, generator=generator)
    network.mean.fill_(0.43)
    network.std.fill_(0.21)
    return network


@pytest.mark.parametrize("weights", ["trained", "shaken"])
def test_as_pytorch(weights: str) -> None:
    network = load(FACE_WEIGHTS) if weights == "trained" else shaken()
    faces = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network.embed(faces).numpy()
    (found,) = session(graph(network)).run(None, {"faces": faces.numpy()})
    assert found.shape == (3, 342)
    apart = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert apart.max() < TOLERANCE


def test_a_face_does_not_depend_on_the_faces_beside_it(tmp_path: Path) -> None:
    save_file(shaken().state_dict(), tmp_path / "net.safetensors")
    embedder = FaceEmbedder(tmp_path / "net.safetensors", torch.device("cpu"), 16)
    faces = np.random.default_rng(0).integers(0, 256, (6, 64, 64), dtype=np.uint8)
    together = embedder.embed(faces)
    alone = np.concatenate([embedder.embed(faces[number : number + 1]) for number in range(6)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-7)
