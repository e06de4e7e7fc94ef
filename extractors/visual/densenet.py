"""The 342-wide DenseNet that describes a face: DenseNet-BC (Huang et al., 2017) of depth 100 and growth 12, for
FER+.

64 x 64 grey -> 3 x 3 stem of stride 2 to 24 channels, 32 x 32 -> three blocks of 16 bottleneck layers with halving
transitions between them: 24 + 192 = 216 -> 108, 108 + 192 = 300 -> 150, 150 + 192 = 342 -> BN, ReLU, mean over 8 x 8 ->
342 -> 8 classes. It is torchvision's DenseNet with another stem.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.densenet import DenseNet, _DenseBlock

from bigfusion.pipeline.errors import ExtractionError

WIDTH = 342

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""FER+'s order."""


class FaceNet(nn.Module):
    """Grey faces -> 342 features -> logits of FER+'s eight classes.

    ``mean`` and ``std`` of the input are buffers, so a file of weights contains them. Before training they are 0.5 (the
    middle of the range) and 0.25 (a quarter of it).
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        network = DenseNet(12, (16, 16, 16), num_init_features=24, bn_size=4, num_classes=len(CLASSES))
        network.features.conv0 = nn.Conv2d(1, 24, kernel_size=3, stride=2, padding=1, bias=False)
        del network.features.pool0
        self.features: nn.Sequential = network.features
        self.classifier: nn.Linear = network.classifier
        self.register_buffer("mean", torch.tensor(0.5))
        self.register_buffer("std", torch.tensor(0.25))

    def embed(self, faces: Tensor) -> Tensor:
        """Shapes: faces (B, 1, 64, 64) in [0, 1] -> (B, 342), not negative."""
        maps = (faces - self.mean) / self.std
        for part in self.features:
            maps = _through_block(part, maps) if isinstance(part, _DenseBlock) else part(maps)
        return functional.relu(maps).mean((2, 3))  # maps (B, 342, 8, 8) -> (B, 342)

    def forward(self, faces: Tensor) -> Tensor:
        """Shapes: faces (B, 1, 64, 64) in [0, 1] -> logits (B, 8)."""
        logits: Tensor = self.classifier(self.embed(faces))
        return logits


def _through_block(block: _DenseBlock, maps: Tensor) -> Tensor:
    """Computes the same as torchvision's block, but joins each layer's maps to one growing tensor.

    torchvision joins all earlier maps anew in every layer, and its backward pass adds their gradients piece by piece.
    With channels last that takes a third of a training step.
    """
    for layer in block.values():
        new = layer.conv1(functional.relu(layer.norm1(maps)))
        new = layer.conv2(functional.relu(layer.norm2(new)))
        maps = torch.cat([maps, new], 1)
    return maps


def seeded(seed: int = 0) -> FaceNet:
    """Untrained weights that are the same everywhere. The global random state is neither read nor changed.

    Convolutions are drawn as in He et al. (2015), then shifted to sum to zero. Otherwise what all faces share (ReLU's
    positive mean) would drown the differences between them. The gain compensates: a ReLU of unit noise has the variance
    (1 - 1/pi) / 2. Batch normalisation is the identity.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):  # the constructor's own initialisation would draw from the global state
        network = FaceNet()
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            with torch.no_grad():
                module.weight.sub_(module.weight.mean((1, 2, 3), keepdim=True)).div_(math.sqrt(1 - 1 / math.pi))
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
    network.mean.fill_(0.5)
    network.std.fill_(0.25)
    return network.eval()


def load(path: Path) -> FaceNet:
    """The network with a file's weights (safetensors), in evaluation mode, on the CPU.

    Raises:
        ExtractionError: the file is not there, is not safetensors, or holds another network.
    """
    with torch.device("meta"):
        network = FaceNet()
    try:
        network.load_state_dict(load_file(path), strict=True, assign=True)
    except FileNotFoundError:
        raise ExtractionError(
            f"{path}: expected the DenseNet's weights, found no file; correct visual.weights"
        ) from None
    except SafetensorError as error:
        raise ExtractionError(f"{path}: expected safetensors, found: {error}; fetch the file anew") from None
    except RuntimeError as error:
        found = str(error).strip().splitlines()[1].strip()
        raise ExtractionError(
            f"{path}: expected the weights of the 342-wide DenseNet, found: {found}; name another"
        ) from None
    return network.eval()
