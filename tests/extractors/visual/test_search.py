"""Frames searched around the known faces: what a search of every whole frame would find, for fewer pixels."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bigfusion.extractors.visual.detectors import Faces
from bigfusion.extractors.visual.search import Search


class Squares:
    """A detector that finds bright squares as faces, and notes what it looked at.

    Each square has a grey level of its own, which is its score's percent.
    """

    def __init__(self) -> None:
        self.looked: list[tuple[int, int]] = []

    def detect(self, picture: NDArray[np.uint8]) -> Faces:
        self.looked.append((picture.shape[1], picture.shape[0]))
        boxes = []
        for level in np.unique(picture[..., 0]):
            if level:
                row, column = np.nonzero(picture[..., 0] == level)
                boxes.append([column.min(), row.min(), column.max() + 1, row.max() + 1])
        rows = np.array(boxes, np.float32).reshape(-1, 4)
        return Faces(rows, np.ones(len(rows), np.float32), np.zeros((len(rows), 5, 2), np.float32))


def frame(*squares: tuple[int, int, int, int], size: tuple[int, int] = (192, 320)) -> NDArray[np.uint8]:
    """Squares as left, top, side, level."""
    picture = np.zeros((*size, 3), np.uint8)
    for left, top, side, level in squares:
        picture[top : top + side, left : left + side] = level
    return picture


def searched(
    frames: Sequence[NDArray[np.uint8]], every: int, least: float = 1
) -> tuple[list[list[list[float]]], list[tuple[int, int]]]:
    """The boxes of each frame, and the sizes of what was looked at."""
    detector = Squares()
    search: Search[int] = Search(detector, every)
    out = [pair for number, view in enumerate(frames) for pair in search.add(number, view, least)]
    out += search.finish()
    assert [number for number, _ in out] == list(range(len(frames)))
    return [faces.boxes.tolist() for _, faces in out], detector.looked


WHOLE = (320, 192)
SMALL = (100, 70, 32, 90)


def test_one_searches_every_frame_whole() -> None:
    boxes, looked = searched([frame(SMALL)] * 7, every=1)
    assert looked == [WHOLE] * 7
    assert boxes == [[[100, 70, 132, 102]]] * 7


def test_a_face_that_stays_is_searched_in_a_window_on_the_grid() -> None:
    """100 - 16 = 84 -> 64, 132 + 16 = 148 -> 160; 70 - 16 = 54 -> 32, 102 + 16 = 118 -> 128. The last is whole."""
    boxes, looked = searched([frame((100 + number, 70, 32, 90)) for number in range(7)], every=5)
    assert looked == [WHOLE, *[(96, 96)] * 4, WHOLE, (96, 96), WHOLE]
    assert boxes == [[[100 + number, 70, 132 + number, 102]] for number in range(7)]


def test_a_large_face_is_searched_in_a_smaller_picture() -> None:
    """100 pixels are halved to 50 and, still 48 or more, to 25: the picture is 80 x 48, its window 64 wide."""
    boxes, looked = searched([frame((100, 40, 100, 90))] * 3, every=5)
    assert looked == [WHOLE, (64, 48), (64, 48), WHOLE]
    assert np.abs(np.array(boxes) - [100, 40, 200, 140]).max() <= 4  # a pixel of the small picture


def test_a_lost_face_is_searched_everywhere_at_once() -> None:
    """A cut: the new face was not there before it, and one frame before it is searched again to see that."""
    before, after = frame(SMALL), frame((250, 20, 32, 80))
    boxes, looked = searched([before] * 3 + [after] * 3, every=10)
    assert boxes == [[[100, 70, 132, 102]]] * 3 + [[[250, 20, 282, 52]]] * 3
    assert looked.count(WHOLE) == 4  # the first frame, the cut, the frame before it, the last


def test_a_face_that_appears_beside_another_is_found_from_its_first_frame() -> None:
    alone, both = frame(SMALL), frame(SMALL, (250, 20, 32, 80))
    boxes, _ = searched([alone] * 2 + [both] * 6, every=5)
    assert [len(found) for found in boxes] == [1, 1, 2, 2, 2, 2, 2, 2]


def test_a_face_that_appears_near_the_end_is_found_as_well() -> None:
    alone, both = frame(SMALL), frame(SMALL, (250, 20, 32, 80))
    boxes, _ = searched([alone] * 2 + [both] * 2, every=10)
    assert [len(found) for found in boxes] == [1, 1, 2, 2]


def test_without_a_face_every_frame_is_searched_whole() -> None:
    boxes, looked = searched([frame()] * 4 + [frame(SMALL)] * 2, every=10)
    assert [len(found) for found in boxes] == [0, 0, 0, 0, 1, 1]
    assert looked[:5] == [WHOLE] * 5


def test_pictures_of_another_size_are_searched_whole() -> None:
    _, looked = searched([frame(SMALL), frame(SMALL, size=(160, 256)), frame(SMALL, size=(160, 256))], every=10)
    assert looked == [WHOLE, (256, 160), (96, 96), (256, 160)]


def test_small_faces_are_left_out_and_hold_no_window_open() -> None:
    both = frame(SMALL, (250, 20, 8, 80))
    boxes, looked = searched([both] * 3, every=10, least=16)
    assert boxes == [[[100, 70, 132, 102]]] * 3
    assert looked[1] == (96, 96)


def test_no_frames() -> None:
    assert searched([], every=5) == ([], [])
