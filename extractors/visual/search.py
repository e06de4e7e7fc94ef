"""Where each sampled frame is searched for faces: now and then everywhere, in between around the known faces.

A detector's time grows with the pixels it looks at. Most of a talking head's frames show the same face at nearly the
same place. Three rules keep what a search of every whole frame would find:

- If a known face is not found again near its place, the whole frame is searched.
- The whole frame is searched at least every ``every`` frames, and at the clip's end.
- If that shows a new face, the frames before it are searched again, whole, back to the first without a new face.

So only a face that comes and goes between two whole searches, beside another face that stays, can be missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.visual.detectors import FaceDetector, Faces, overlaps

HELD = 10
"""Most frames from one search of the whole picture to the next: so many frames of a clip are kept in memory."""

GRID = 32
"""The step of a window's edges in pixels. Detectors halve a picture five times. A window whose edges lie on this grid
shows them the same cells as the whole picture, so the landmarks do not shake when the window moves."""

MARGIN = 0.5
"""A window reaches so many face sizes beyond a known face on every side."""

LARGE = 48.0
"""While all known faces are this large, in pixels, the picture is halved. CenterFace's landmarks of faces of 23 pixels
shake no more than those of larger ones (measured at 25 frames a second)."""

SAME = 0.3
"""The overlap (intersection over union) from which a face is a known one, as in a track."""

Item = TypeVar("Item")


@dataclass
class _Searched(Generic[Item]):
    item: Item
    picture: NDArray[np.uint8]  # (h, w, 3)
    least: float
    faces: Faces
    whole: bool


class Search(Generic[Item]):
    """The search through one clip. Frames go in in order, and come out in order with their faces, some frames later.

    Args:
        detector: finds faces in a picture.
        every: frames from one whole search to the next, and how many frames are held; 1 searches all frames whole.
    """

    def __init__(self, detector: FaceDetector, every: int) -> None:
        self._detector, self._every = detector, every
        self._held: list[_Searched[Item]] = []  # the last whole search, and the frames since

    def add(self, item: Item, picture: NDArray[np.uint8], least: float) -> Iterator[tuple[Item, Faces]]:
        """Search the next frame. ``item`` is handed out again with the faces of its ``picture``.

        Shapes: picture (h, w, 3) uint8 RGB. Faces whose shorter side is below ``least`` pixels are left out.
        """
        if 0 < len(self._held) < self._every and self._held[-1].picture.shape == picture.shape:
            known = self._held[-1].faces.boxes
            faces = self._around(picture, known, least) if len(known) else None
            if faces is not None and _all_among(known, faces.boxes):
                self._held.append(_Searched(item, picture, least, faces, whole=False))
                return
        faces = self._everywhere(picture, least)
        yield from self._settled(faces)
        self._held = [_Searched(item, picture, least, faces, whole=True)]

    def finish(self) -> Iterator[tuple[Item, Faces]]:
        """The frames that are still held. The last of them is searched whole."""
        if self._held:
            last = self._held.pop()
            faces = last.faces if last.whole else self._everywhere(last.picture, last.least)
            yield from self._settled(faces)
            yield last.item, faces
        self._held = []

    def _settled(self, next_faces: Faces) -> Iterator[tuple[Item, Faces]]:
        """The held frames, once the frame after them, searched whole, shows ``next_faces``."""
        for frame in reversed(self._held):
            if frame.whole or _all_among(next_faces.boxes, frame.faces.boxes):
                break
            before = frame.faces
            frame.faces = self._everywhere(frame.picture, frame.least)
            if _all_among(frame.faces.boxes, before.boxes):
                break
            next_faces = frame.faces
        yield from [(frame.item, frame.faces) for frame in self._held]

    def _everywhere(self, picture: NDArray[np.uint8], least: float) -> Faces:
        return self._detector.detect(picture).of_size(least)

    def _around(self, picture: NDArray[np.uint8], boxes: NDArray[np.float32], least: float) -> Faces | None:
        """The faces near ``boxes``; None if that is the whole picture at its own size."""
        height, width = picture.shape[:2]
        size = np.array([width, height])
        sides = boxes[:, 2:] - boxes[:, :2]  # (K, 2)
        halvings, smallest = 0, float(sides.min())
        while smallest >= LARGE:
            halvings, smallest = halvings + 1, smallest / 2
        small = np.maximum(np.round(size / 2**halvings), 2).astype(int)
        ratio = small / size
        begin = np.maximum((boxes[:, :2] - MARGIN * sides).min(0), 0) * ratio // GRID * GRID
        end = np.minimum(-(-((boxes[:, 2:] + MARGIN * sides).max(0) * ratio) // GRID) * GRID, small)
        (left, top), (right, bottom) = begin.astype(int).tolist(), end.astype(int).tolist()
        if not halvings and (left, top, right, bottom) == (0, 0, width, height):
            return None
        if halvings:
            picture = np.asarray(cv2.resize(picture, small.tolist(), interpolation=cv2.INTER_AREA), np.uint8)
        faces = self._detector.detect(np.ascontiguousarray(picture[top:bottom, left:right]))
        return faces.moved(left, top).scaled(*(1 / ratio).tolist()).of_size(least)


def _all_among(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Whether each of ``boxes`` (K, 4) is one of ``others`` (M, 4)."""
    return bool((overlaps(boxes, others) >= SAME).any(1).all())
