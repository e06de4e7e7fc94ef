"""The 342-wide DenseNet: its size by hand, its features on real faces, and its weights from a file."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bigfusion.extractors.visual.alignment import aligned
from bigfusion.extractors.visual.densenet import CLASSES, WIDTH, FaceNet, load, seeded
from bigfusion.extractors.visual.detectors import CenterFace
from bigfusion.pipeline.errors import ExtractionError
from tests.helpers.pictures import CENTERFACE, collins, hopper

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def network() -> FaceNet:
    """Drawn once: tests leave it as it is."""
    return seeded()


def test_size_by_hand() -> None:
    """24 -> (+ 16 * 12) 216 -> 108 -> 300 -> 150 -> 342, and every weight counted."""
    total, channels = 1 * 24 * 9 + 2 * 24, 24  # stem and its batch normalisation
    for block in range(3):
        for _ in range(16):
            total += 2 * channels + channels * 48  # BN, 1 x 1 to 4 * 12
            total += 2 * 48 + 48 * 12 * 9  # BN, 3 x 3 to 12
            channels += 12
        if block < 2:
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    total += 2 * channels  # last BN
    total += channels * 8 + 8  # classes
    assert channels == WIDTH == network().classifier.in_features
    assert sum(parameter.numel() for parameter in network().parameters()) == total == 768_092
    assert len(CLASSES) == network().classifier.out_features == 8
    # Depth 100: stem, 3 blocks of 32, 2 transitions, classes.
    layers = [module for module in network().modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == 100


def test_maps_shrink_as_drawn() -> None:
    network = seeded()
    sides: dict[str, tuple[int, ...]] = {}
    for name, module in network.features.named_children():
        module.register_forward_hook(lambda _, __, output, name=name: sides.__setitem__(name, tuple(output.shape[1:])))
    with torch.inference_mode():
        faces = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        features, logits = network.embed(faces), network(faces)
    assert sides["conv0"] == (24, 32, 32)
    assert sides["transition1"] == (108, 16, 16)
    assert sides["transition2"] == (150, 8, 8)
    assert sides["norm5"] == (342, 8, 8)
    assert features.shape == (2, 342)
    assert features.min() >= 0
    assert logits.shape == (2, 8)


def test_features_are_the_mean_of_the_rectified_maps_of_the_normalised_face() -> None:
    faces = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = network().features((faces - 0.5) / 0.25)[0].clamp(min=0)
        expected = [float(channel.mean()) for channel in maps]
        np.testing.assert_allclose(network().embed(faces)[0].numpy(), expected, rtol=1e-5, atol=1e-7)
        logits = network().classifier(network().embed(faces))
        np.testing.assert_allclose(network()(faces).numpy(), logits.numpy())


def test_a_seed_gives_one_network_and_touches_no_other_randomness() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = network(), seeded(0), seeded(1)
    assert torch.equal(torch.get_rng_state(), before)
    state = same.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.features.conv0.weight, other.features.conv0.weight)
    assert not one.training


def test_untrained_features_tell_faces_apart() -> None:
    """Plain He initialisation gave 22 dead columns of 342 and a mean correlation of 0.98 between faces."""
    detector = CenterFace(CENTERFACE, 0.5)
    crops = []
    for picture in (collins(), hopper()):
        for view in (picture, picture[:, ::-1].copy(), cv2.convertScaleAbs(picture, alpha=0.6)):
            points = detector.detect(view).landmarks[0]
            crops.append(aligned(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), points))
    with torch.inference_mode():
        rows = network().embed(torch.from_numpy(np.stack(crops)).float()[:, None] / 255).numpy()
    assert (rows.max(0) > 0).all()
    spread = rows.std(0) / rows.mean(0)
    assert np.median(spread) > 0.1
    between = np.corrcoef(rows[0], rows[3])[0, 1]
    assert between < 0.9
    assert np.corrcoef(rows[0], rows[1])[0, 1] > between  # mirrored, a face stays closer to itself


def test_weights_from_a_file_bring_their_own_mean(tmp_path: Path) -> None:
    state = {name: value.clone() for name, value in network().state_dict().items()}
    state["mean"], state["std"] = torch.tensor(0.4), torch.tensor(0.2)
    save_file(state, tmp_path / "net.safetensors")
    found = load(tmp_path / "net.safetensors")
    assert not found.training
    faces = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network().embed((faces - 0.4) / 0.2 * 0.25 + 0.5)
        np.testing.assert_allclose(found.embed(faces).numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_dense_blocks_are_torchvisions() -> None:
    """Joined layer by layer, or all at once as torchvision does: the same maps and the same gradients."""
    network = seeded(2).double()
    faces = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = network.features((faces - network.mean) / network.std).relu().mean((2, 3))
    found = network.embed(faces)
    torch.testing.assert_close(found, expected)
    weight = network.features.conv0.weight
    (slow,), (fast,) = (torch.autograd.grad(value.square().sum(), weight) for value in (expected, found))
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("content", ["absent", "noise", "pickle", "another network"])
def test_files_that_are_not_its_weights(tmp_path: Path, content: str) -> None:
    path = tmp_path / "net.safetensors"
    if content == "noise":
        path.write_bytes(b"\x00" * 100)
    elif content == "pickle":
        torch.save(network().state_dict(), path)
    elif content == "another network":
        save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ExtractionError, match="expected") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.slow
def test_it_learns() -> None:
    """Gradients reach every weight: a few steps tell a bright face from a dark one."""
    torch.manual_seed(0)
    network = FaceNet().train()
    faces = torch.stack([torch.full((1, 64, 64), level) for level in (0.2, 0.8)] * 4) + 0.05 * torch.randn(8, 1, 64, 64)
    labels = torch.tensor([0, 1] * 4)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(network(faces), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(parameter.grad is not None for parameter in network.parameters())
