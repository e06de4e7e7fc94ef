"""How well the facial DenseNet recognises FER+'s emotions (by the raters' majority), and which ones it confuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor

from bigfusion.extractors.compute import device_named
from bigfusion.extractors.files import sha256_of
from bigfusion.extractors.visual.densenet import CLASSES, FaceNet, load
from bigfusion.extractors.visual.densenet_graph import graph
from bigfusion.extractors.visual.embedder import BATCH
from bigfusion.extractors.visual.onnx_session import session
from bigfusion.extractors.visual.training.ferplus import UNDECIDED, Faces
from bigfusion.extractors.visual.training.training import predict


def score(weights: Path, faces: dict[str, Faces], device: str = "auto") -> dict[str, Any]:
    """The scores of a file of weights, as plain values.

    ``test_accuracy`` counts faces on which more than half of the votes agree, without single votes, as in FER+'s paper
    (VGG13: 84.99 %). ``test_accuracy_plurality`` counts every face that has a most frequent emotion.

    Raises:
        ExtractionError: the weights are not there or are another network's.
    """
    network = load(weights).to(device_named(device))
    engine = features_by_engine(network) if device_named(device).type == "cpu" else None
    found: dict[str, Any] = {"weights": str(weights), "sha256": sha256_of(weights)}
    for split in ("valid", "test"):
        predicted = predict(network, faces[split], embed=engine, batch_size=BATCH).argmax(1)
        majority, plurality = faces[split].majority, faces[split].plurality
        found[f"{split}_accuracy"] = _accuracy(predicted, majority)
        found[f"{split}_faces"] = int((majority != UNDECIDED).sum())
        found[f"{split}_accuracy_plurality"] = _accuracy(predicted, plurality)
        found[f"{split}_faces_plurality"] = int((plurality != UNDECIDED).sum())
        if split == "test":
            found |= _by_class(predicted, majority)
    return found


def features_by_engine(network: FaceNet) -> Callable[[Tensor], Tensor]:
    """The network's features by the engine that the extractor uses on a processor."""
    engine = session(graph(network))
    return lambda pixels: torch.from_numpy(engine.run(None, {"faces": pixels.contiguous().numpy()})[0])


def _accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    kept = truth != UNDECIDED
    return float((predicted == truth)[kept].mean())


def _by_class(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    kept = truth != UNDECIDED
    codes = list(range(len(CLASSES)))
    confusion = confusion_matrix(truth[kept], predicted[kept], labels=codes)
    f1 = f1_score(truth[kept], predicted[kept], labels=codes, average=None, zero_division=0)
    return {
        "classes": list(CLASSES),
        "f1": {name: float(value) for name, value in zip(CLASSES, f1, strict=True)},
        "supports": {name: int(row.sum()) for name, row in zip(CLASSES, confusion, strict=True)},
        "confusion": confusion.tolist(),
    }
