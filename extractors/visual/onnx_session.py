"""Networks as ONNX graphs on a processor: ONNX Runtime, one thread a call, no call waits for another.

ONNX Runtime folds constant operations, fuses convolutions with what follows and lays channels out in blocks, so it is
faster than PyTorch's and OpenCV's own loops (``tests/benchmarks/bench_visual.py`` prints by how much).
"""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime


def session(model: onnx.ModelProto) -> Any:
    """A session that threads may share. It computes in the calling thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def of_any_size(model: onnx.ModelProto, height: str = "height", width: str = "width") -> onnx.ModelProto:
    """A convolutional network for pictures (1, channels, height, width) of any size, its weights constant.

    Older exporters list weights as inputs as well. Then they count as changeable, and nothing is folded.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {weight.name for weight in made.graph.initializer}
    inputs = [value for value in made.graph.input if value.name not in weights]
    used = {name for node in made.graph.node for name in node.input}
    del made.graph.input[:]
    made.graph.input.extend(inputs)
    (picture,) = made.graph.input
    for side, name in zip(picture.type.tensor_type.shape.dim, (1, None, height, width), strict=True):
        if isinstance(name, str):
            side.dim_param = name
        elif name is not None:
            side.dim_value = name
    for output in made.graph.output:
        output.type.tensor_type.ClearField("shape")
    kept = [weight for weight in made.graph.initializer if weight.name in used]
    del made.graph.initializer[:]
    made.graph.initializer.extend(kept)
    return made
