"""Face detectors with one interface: CenterFace (default; a package contains its weights) and YuNet (a file).

CenterFace (Xu et al., 2019) is an anchor-free network: a heat map of face centres at a quarter of the resolution, with
size, offset and five points at each. It runs in ONNX Runtime. YuNet (Wu et al., 2023) is run and decoded by OpenCV, one
instance for each thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from bigfusion.extractors.visual.onnx_session import of_any_size, session
from bigfusion.pipeline.errors import ExtractionError

OVERLAP = 0.3  # two boxes with a larger overlap (intersection over union) are the same face


@dataclass(frozen=True)
class Faces:
    """The K faces of a picture, most certain first.

    Shapes: ``boxes`` (K, 4) float32 as x1, y1, x2, y2 in pixels; ``scores`` (K,) float32 in [0, 1]; ``landmarks``
    (K, 5, 2) float32 as x, y: eyes, nose, mouth's corners, each pair left in the picture first.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    landmarks: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def scaled(self, across: float, down: float) -> Faces:
        """The same faces in a picture enlarged by ``across`` and ``down``."""
        factor = np.array([across, down], np.float32)
        return Faces(self.boxes * np.tile(factor, 2), self.scores, self.landmarks * factor)

    def moved(self, across: float, down: float) -> Faces:
        """The same faces in a picture that has so many more pixels to the left and above."""
        shift = np.array([across, down], np.float32)
        return Faces(self.boxes + np.tile(shift, 2), self.scores, self.landmarks + shift)

    def of_size(self, least: float) -> Faces:
        """The faces whose boxes' shorter side is ``least`` pixels or more."""
        kept = np.minimum(self.boxes[:, 2] - self.boxes[:, 0], self.boxes[:, 3] - self.boxes[:, 1]) >= least
        return Faces(self.boxes[kept], self.scores[kept], self.landmarks[kept])


class FaceDetector(Protocol):
    """Finds faces in a picture. Threads may share one detector."""

    def detect(self, picture: NDArray[np.uint8]) -> Faces:
        """Shape: picture (H, W, 3) uint8 RGB."""
        ...


class CenterFace:
    """CenterFace from an ONNX file, decoded here."""

    STRIDE = 4  # pixels for each cell of the heat map
    OUTPUTS = ("537", "538", "539", "540")  # heat map, log size, offset, landmarks

    def __init__(self, path: Path, threshold: float) -> None:
        self._path, self._threshold = path, threshold
        self._lock = threading.Lock()
        self._session: Any = None

    def detect(self, picture: NDArray[np.uint8]) -> Faces:
        """Shape: picture (H, W, 3) uint8 RGB."""
        height, width = picture.shape[:2]
        # The network halves the size five times, so pad to multiples of 32. Padding moves no coordinate.
        blob = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
        blob[0, :, :height, :width] = picture.transpose(2, 0, 1)
        network = self._network()
        maps = network.run(self.OUTPUTS, {network.get_inputs()[0].name: blob})
        return self._decode([part[0] for part in maps], width, height)

    def _network(self) -> Any:
        with self._lock:
            if self._session is None:
                try:
                    self._session = session(of_any_size(onnx.load(self._path)))
                except Exception as error:  # ONNX's reader and ONNX Runtime each have their own kinds
                    raise _unreadable("CenterFace", self._path, "ONNX Runtime", error) from None
            return self._session

    def _decode(self, maps: Sequence[NDArray[np.float32]], width: int, height: int) -> Faces:
        """The faces in the maps: heat (1, h, w); log size and offset (2, h, w), y before x; points (10, h, w), y before
        x.
        """
        heat, size, offset, points = maps
        row, column = np.nonzero(heat[0] >= self._threshold)
        tall, wide = np.exp(size[:, row, column]) * self.STRIDE  # (2, K)
        centre_y = (row + offset[0, row, column] + 0.5) * self.STRIDE
        centre_x = (column + offset[1, row, column] + 0.5) * self.STRIDE
        left, top = centre_x - wide / 2, centre_y - tall / 2
        inside = points[:, row, column].reshape(5, 2, -1)  # (5, 2, K)
        landmarks = np.stack([inside[:, 1] * wide + left, inside[:, 0] * tall + top], -1).swapaxes(0, 1)  # (K, 5, 2)
        boxes = np.stack([left, top, left + wide, top + tall], -1)
        boxes = np.clip(boxes, 0, [width, height, width, height])  # (K, 4)
        scores = heat[0, row, column]
        kept = suppressed(boxes, scores)
        return Faces(*(np.asarray(part[kept], np.float32) for part in (boxes, scores, landmarks)))


class YuNet:
    """YuNet from an ONNX file, decoded by OpenCV."""

    def __init__(self, path: Path, threshold: float) -> None:
        self._path, self._threshold = path, threshold
        self._local = threading.local()

    def detect(self, picture: NDArray[np.uint8]) -> Faces:
        """Shape: picture (H, W, 3) uint8 RGB."""
        height, width = picture.shape[:2]
        network = self._network()
        network.setInputSize((width, height))
        found = network.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]  # (K, 15): x, y, w, h, points, score
        rows = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        boxes = np.clip(
            np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]), 0, np.array([width, height] * 2, np.float32)
        )
        return Faces(boxes, rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2))

    def _network(self) -> Any:
        if not hasattr(self._local, "network"):
            level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # mute its own warning
            try:
                self._local.network = cv2.FaceDetectorYN.create(
                    str(self._path), "", (320, 320), self._threshold, OVERLAP
                )
            except cv2.error as error:
                raise _unreadable("YuNet", self._path, "OpenCV", error) from None
            finally:
                cv2.utils.logging.setLogLevel(level)
        return self._local.network


def suppressed(boxes: NDArray[np.floating], scores: NDArray[np.floating]) -> list[int]:
    """Non-maximum suppression: indices of the boxes that no better box overlaps, best first.

    Shapes: boxes (K, 4), scores (K,).
    """
    order = np.argsort(-scores, kind="stable")
    shared = overlaps(boxes[order], boxes[order])  # (K, K)
    kept: list[int] = []
    for rank in range(len(order)):
        if not (shared[rank, kept] > OVERLAP).any():
            kept.append(rank)
    return [int(index) for index in order[kept]]


def overlaps(boxes: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of every box with every other. Shapes: (K, 4), (M, 4) -> (K, M)."""
    sides = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])  # (K, M, 2)
    shared = np.maximum(sides, 0).prod(-1)
    areas, other_areas = ((corners[:, 2:] - corners[:, :2]).prod(-1) for corners in (boxes, others))
    union = areas[:, None] + other_areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def overlap(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2. Shapes: (4,), (4,)."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    union = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / union if union > 0 else 0.0


def _unreadable(name: str, path: Path, reader: str, error: Exception) -> ExtractionError:
    said = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return ExtractionError(
        f"{path}: expected {name}'s ONNX file, found one that {reader} cannot read ({said}); fetch it anew"
    )
