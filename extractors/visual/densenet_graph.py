"""The DenseNet as an ONNX graph of the same numbers, with less to compute.

A batch normalisation after a convolution becomes part of its weights. One before a convolution stays: a ReLU lies
between them. The transitions' mean over 2 x 2 comes before their 1 x 1 convolution instead
of after it. The two commute, and a quarter of the pixels is left to convolve. PyTorch's own export needs a newer opset
and one more package.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from bigfusion.extractors.visual.densenet import FaceNet

OPSET, IR = 13, 8
"""What every ONNX Runtime of the last years reads."""

Array = NDArray[np.float32]


class _Graph:
    """Nodes and weights, named as they come. Each method adds one operation and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, values: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, list(inputs), [name], **attributes))
        return name

    def convolution(self, maps: str, kernel: Array, bias: Array | None, stride: int = 1) -> str:
        """Shape: kernel (out, in, k, k), padded by k // 2."""
        side = kernel.shape[-1]
        weights = [self.weight(kernel)] if bias is None else [self.weight(kernel), self.weight(bias)]
        return self.add("Conv", maps, *weights, kernel_shape=[side] * 2, pads=[side // 2] * 4, strides=[stride] * 2)

    def normalised_and_rectified(self, maps: str, norm: nn.BatchNorm2d) -> str:
        """A batch normalisation that follows no convolution, and ReLU."""
        weights = [self.weight(_array(part)) for part in _parts(norm)]
        return self.add("Relu", self.add("BatchNormalization", maps, *weights, epsilon=norm.eps))


def graph(network: FaceNet) -> onnx.ModelProto:
    """``network.embed``: ``faces`` (B, 1, 64, 64) float32 in [0, 1] -> ``features`` (B, 342)."""
    made = _Graph()
    parts: Any = network.features
    mean, std = (float(value) for value in (network.mean, network.std))
    faces = made.add("Sub", "faces", made.weight(np.array(mean, np.float32)))  # not folded: padding is the mean's zero
    maps = made.add("Relu", made.convolution(faces, *_folded(parts.conv0, parts.norm0, 1 / std), stride=2))
    for number in (1, 2, 3):
        for layer in getattr(parts, f"denseblock{number}").values():
            new = made.normalised_and_rectified(maps, layer.norm1)
            new = made.add("Relu", made.convolution(new, *_folded(layer.conv1, layer.norm2)))
            maps = made.add("Concat", maps, made.convolution(new, _array(layer.conv2.weight), None), axis=1)
        if number < 3:
            between = getattr(parts, f"transition{number}")
            maps = made.normalised_and_rectified(maps, between.norm)
            maps = made.add("AveragePool", maps, kernel_shape=[2, 2], strides=[2, 2])
            maps = made.convolution(maps, _array(between.conv.weight), None)
    maps = made.normalised_and_rectified(maps, parts.norm5)
    made.nodes.append(helper.make_node("ReduceMean", [maps], ["features"], axes=[2, 3], keepdims=0))
    described = helper.make_graph(
        made.nodes,
        "densenet",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["batch", 1, 64, 64])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", parts.norm5.num_features])],
        made.weights,
    )
    return helper.make_model(described, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, factor: float = 1.0) -> tuple[Array, Array]:
    """Kernel and bias of a convolution, without a bias, of ``factor`` times its input, and the normalisation after.

    Computed in float64, so that only the result is rounded.
    """
    weight, bias, mean, variance = (part.double() for part in _parts(norm))
    scale = weight / torch.sqrt(variance + norm.eps)
    kernel = convolution.weight.detach().double() * (factor * scale)[:, None, None, None]
    return _array(kernel), _array(bias - mean * scale)


def _parts(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
    """Weight, bias, running mean and running variance, in the order of ONNX's operator."""
    state = norm.state_dict()
    return [state[name] for name in ("weight", "bias", "running_mean", "running_var")]


def _array(tensor: torch.Tensor) -> Array:
    return np.asarray(tensor.detach().numpy(), np.float32)
