"""Face detectors: real faces found where they are, nothing where there are none, decoding by hand."""

import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigfusion.extractors.visual.detectors import CenterFace, FaceDetector, Faces, YuNet, overlap, suppressed
from bigfusion.pipeline.errors import ExtractionError
from tests.helpers.pictures import CENTERFACE, blank, collins, hopper, pasted, two_people

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
YUNET = SHARED / "face" / "yunet_n_640_640.onnx"
GROUP = SHARED / "clips" / "multi_face.jpg"

needs_yunet = pytest.mark.skipif(not YUNET.is_file(), reason="YuNet's file is not here")


@pytest.fixture(params=["centerface", pytest.param("yunet", marks=needs_yunet)])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    return CenterFace(CENTERFACE, 0.5) if request.param == "centerface" else YuNet(YUNET, 0.5)


def test_a_portrait(detector: FaceDetector) -> None:
    faces = detector.detect(collins())
    assert len(faces) == 1
    assert faces.scores[0] > 0.8
    assert overlap(faces.boxes[0], np.array([173, 62, 274, 191], np.float32)) > 0.7  # drawn by hand
    eyes = faces.landmarks[0, :2]
    np.testing.assert_allclose(eyes, [[203, 109], [245, 107]], atol=8)
    assert eyes[0, 0] < eyes[1, 0]  # the one on the left in the picture first
    nose, mouth = faces.landmarks[0, 2], faces.landmarks[0, 3:]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()
    assert mouth[0, 0] < nose[0] < mouth[1, 0]


def test_no_face(detector: FaceDetector) -> None:
    faces = detector.detect(blank(180, 320))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("size", [(96, 160), (100, 163), (320, 180), (333, 517)])
def test_any_size_of_picture(detector: FaceDetector, size: tuple[int, int]) -> None:
    """Sizes that are no multiple of 32 are padded, not stretched."""
    width = min(size)
    view = pasted(blank(*size), collins(), 0, 0, width)
    found = detector.detect(view)
    assert len(found) == 1
    expected = np.array([173, 62, 274, 191], np.float32) * width / 512
    assert overlap(found.boxes[0], expected) > 0.6
    assert found.boxes.min() >= 0
    assert (found.boxes[:, 2:] <= [size[1], size[0]]).all()


def test_two_people_best_first(detector: FaceDetector) -> None:
    faces = detector.detect(two_people())
    assert len(faces) == 2
    assert faces.scores[0] >= faces.scores[1]
    assert sorted(box[0] < 320 for box in faces.boxes) == [False, True]


def test_a_higher_threshold_leaves_fewer() -> None:
    view = two_people()
    scores = CenterFace(CENTERFACE, 0.1).detect(view).scores
    between = float(scores[:2].mean())
    assert scores[1] < between < scores[0]
    assert len(CenterFace(CENTERFACE, between).detect(view)) == 1


def test_colours_are_read_in_the_order_that_the_network_knows() -> None:
    """CenterFace was trained on RGB: red and blue exchanged, it is less certain of the same faces."""
    detector = CenterFace(CENTERFACE, 0.3)
    rgb, bgr = 0.0, 0.0
    for picture in (collins(), hopper()[:512, :512]):
        for side in (256, 320, 480):
            view = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
            rgb += float(detector.detect(view).scores[0])
            bgr += float(detector.detect(view[..., ::-1]).scores[0])
    assert rgb > bgr + 0.02


@needs_yunet
@pytest.mark.parametrize("picture", ["collins", "hopper"])
def test_the_two_detectors_agree(picture: str) -> None:
    view = {"collins": collins, "hopper": hopper}[picture]()
    one, other = CenterFace(CENTERFACE, 0.5).detect(view), YuNet(YUNET, 0.5).detect(view)
    assert overlap(one.boxes[0], other.boxes[0]) > 0.75
    eyes = np.linalg.norm(other.landmarks[0, 1] - other.landmarks[0, 0])
    assert np.linalg.norm(one.landmarks[0] - other.landmarks[0], axis=1).mean() < 0.2 * eyes


@pytest.mark.skipif(not GROUP.is_file(), reason="the group photo is not here")
def test_five_friends(detector: FaceDetector) -> None:
    picture = cv2.cvtColor(cv2.imread(str(GROUP)), cv2.COLOR_BGR2RGB)
    small = cv2.resize(picture, (320, 213), interpolation=cv2.INTER_AREA)
    assert len(detector.detect(small)) == 5


def test_threads_share_a_detector(detector: FaceDetector) -> None:
    views = [collins(), hopper()[:512, :512], two_people()] * 2
    expected = [detector.detect(view) for view in views]
    found: dict[int, Faces] = {}

    def work(number: int) -> None:
        found[number] = detector.detect(views[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(views))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, faces in enumerate(expected):
        np.testing.assert_array_equal(found[number].boxes, faces.boxes)


@pytest.mark.parametrize("kind", [CenterFace, YuNet])
def test_a_damaged_file(tmp_path: Path, kind: type[CenterFace | YuNet], capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(os.urandom(100))
    with pytest.raises(ExtractionError, match=r"net\.onnx.*expected"):
        kind(path, 0.5).detect(collins())


def test_decoding_by_hand() -> None:
    """Maps of 2 x 3 cells; one cell fires at row 1, column 2. Size, offset and points are given as y before x."""
    heat, size, offset = (
        np.zeros((1, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.float32),
    )
    points = np.zeros((10, 2, 3), np.float32)
    heat[0, 1, 2] = 0.9
    size[:, 1, 2] = np.log([1.5, 1.0])  # 6 pixels high, 4 wide
    offset[:, 1, 2] = [-0.25, 0.25]  # centre at y (1 - 0.25 + 0.5) * 4 = 5, x (2 + 0.25 + 0.5) * 4 = 11
    points[:, 1, 2] = [0.1, 0.2, 0.1, 0.8, 0.5, 0.5, 0.9, 0.3, 0.9, 0.7]
    faces = CenterFace(CENTERFACE, 0.5)._decode([heat, size, offset, points], width=12, height=7)
    np.testing.assert_allclose(faces.boxes, [[9, 2, 12, 7]], atol=1e-5)  # 9-13 x 2-8, cut at the picture's edge
    np.testing.assert_allclose(faces.scores, [0.9])
    expected = [[9 + 4 * x, 2 + 6 * y] for y, x in [(0.1, 0.2), (0.1, 0.8), (0.5, 0.5), (0.9, 0.3), (0.9, 0.7)]]
    np.testing.assert_allclose(faces.landmarks, [expected], atol=1e-5)


def test_faces_scale_and_filter() -> None:
    faces = Faces(
        np.array([[0, 0, 10, 20], [0, 0, 30, 5]], np.float32),
        np.array([0.9, 0.8], np.float32),
        np.ones((2, 5, 2), np.float32),
    )
    grown = faces.scaled(2, 3)
    assert grown.boxes.tolist() == [[0, 0, 20, 60], [0, 0, 60, 15]]
    assert grown.landmarks[0, 0].tolist() == [2, 3]
    assert grown.of_size(16).boxes.tolist() == [[0, 0, 20, 60]]
    assert len(grown.of_size(15)) == 2


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 2, 2), 1.0),
        ((1, 0, 3, 2), 1 / 3),
        ((2, 0, 4, 2), 0.0),
        ((5, 5, 6, 6), 0.0),
        ((0, 0, 1, 1), 0.25),
        ((1, 1, 1, 1), 0),
    ],
)
def test_overlap_by_hand(other: tuple[int, ...], expected: float) -> None:
    assert overlap(np.array([0.0, 0, 2, 2]), np.array(other, float)) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_suppression_keeps_the_best_and_only_apart(seed: int) -> None:
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0, 20, (draw.integers(0, 15), 2))
    boxes = np.hstack([corners, corners + draw.uniform(1, 15, corners.shape)])
    scores = draw.uniform(0, 1, len(boxes))
    kept = suppressed(boxes, scores)
    assert kept == sorted(kept, key=lambda index: -scores[index])
    for index in range(len(boxes)):
        better = [overlap(boxes[index], boxes[one]) > 0.3 for one in kept if scores[one] > scores[index]]
        assert (index in kept) == (not any(better))
