"""Five points -> an upright face: against random similarities, scikit-image's solver, and a real face turned about."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from bigfusion.extractors.visual.alignment import SIDE, TEMPLATE, aligned, similarity
from bigfusion.extractors.visual.detectors import CenterFace
from tests.helpers.pictures import CENTERFACE, collins

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)
shifts = st.floats(-500, 500)


def moved(points: np.ndarray, angle: float, scale: float, across: float, down: float) -> np.ndarray:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + [across, down]


@given(angles, scales, shifts, shifts)
def test_an_exact_similarity_is_found(angle: float, scale: float, across: float, down: float) -> None:
    points = moved(TEMPLATE, angle, scale, across, down)
    matrix = similarity(points, TEMPLATE)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-6)


@given(st.integers(0, 10_000))
def test_as_scikit_image_solves_it(seed: int) -> None:
    draw = np.random.default_rng(seed)
    points, target = draw.normal(0, 30, (5, 2)), draw.normal(0, 30, (5, 2))
    expected = SimilarityTransform.from_estimate(points, target).params[:2]
    np.testing.assert_allclose(similarity(points, target), expected, atol=1e-8)


def test_a_mirrored_face_is_not_reflected_back() -> None:
    matrix = similarity(TEMPLATE * [-1, 1], TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) > 0


def test_points_that_coincide_give_numbers() -> None:
    assert np.isfinite(similarity(np.full((5, 2), 7.0), TEMPLATE)).all()


def test_by_hand() -> None:
    """Twice as large and shifted: x' = 2 x + 3, y' = 2 y - 1."""
    points = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [2, 1]])
    np.testing.assert_allclose(similarity(points, 2 * points + [3, -1]), [[2, 0, 3], [0, 2, -1]], atol=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 4.0])
def test_the_picture_goes_where_the_points_go(scale: float) -> None:
    """A smooth picture, enlarged and shifted, comes back as it was drawn on the template's own grid."""
    row, column = np.mgrid[0:400, 0:400].astype(np.float64)
    across, down = 30.0, 50.0
    x, y = (column - across) / scale, (row - down) / scale
    grey = (128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)).round().astype(np.uint8)
    found = aligned(grey, TEMPLATE * scale + [across, down])
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    expected = 128 + 60 * np.sin(column / 9) + 50 * np.cos(row / 7)
    assert found.shape == (SIDE, SIDE)
    assert found.dtype == np.uint8
    assert np.abs(found - expected)[2:-2, 2:-2].max() < 4


@pytest.mark.parametrize("scale", [0.7, 1.0, 3.0, 8.0])
def test_shrinking_shifts_nothing(scale: float) -> None:
    """A ramp of three levels a pixel shows a shift of a thirtieth of a pixel as a tenth of a level."""
    row, column = np.mgrid[0:640, 0:640].astype(np.float64)
    for ramp in (column, row):
        grey = (20 + 3 * (ramp - 10) / scale).clip(0, 255).round().astype(np.uint8)
        face = aligned(grey, TEMPLATE * scale + 10)
        expected = 20 + 3.0 * np.mgrid[0:SIDE, 0:SIDE][0 if ramp is row else 1]
        assert abs((face - expected)[4:-4, 4:-4].mean()) < 0.25


@pytest.mark.parametrize("place", [(-150.0, 40.0), (420.0, 300.0), (2000.0, -3000.0)])
def test_beyond_the_picture_its_edge_is_repeated(place: tuple[float, float]) -> None:
    """A large face partly or wholly outside: as in the same picture with a wide edge repeated around it."""
    draw = np.random.default_rng(0)
    grey = cv2.resize(draw.integers(0, 256, (8, 10), dtype=np.uint8), (500, 400), interpolation=cv2.INTER_CUBIC)
    around = 600
    wide = np.pad(grey, around, mode="edge")
    points = TEMPLATE * 5 + place
    if max(map(abs, place)) > around:
        assert aligned(grey, points).shape == (SIDE, SIDE)
        return
    difference = aligned(grey, points).astype(int) - aligned(wide, points + around)
    assert np.abs(difference).mean() < 1.0


def test_fine_patterns_do_not_alias() -> None:
    """A chequered picture eight times too large is grey, not chequered."""
    chequered = ((np.indices((600, 600)).sum(0) % 2) * 255).astype(np.uint8)
    face = aligned(chequered, TEMPLATE * 8 + 20)
    assert face.std() < 5
    assert face.mean() == pytest.approx(127.5, abs=2)


def test_beyond_the_picture_its_edge_goes_on() -> None:
    face = aligned(np.full((40, 40), 90, np.uint8), TEMPLATE - 30)
    assert (face == 90).all()


@pytest.mark.parametrize("angle", [-40, -15, 25])
def test_a_turned_head_is_set_upright(angle: int) -> None:
    picture = collins()
    turn = cv2.getRotationMatrix2D((224, 120), angle, 1.0)
    detector = CenterFace(CENTERFACE, 0.5)
    upright, turned = (
        aligned(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), detector.detect(view).landmarks[0])
        for view in (picture, cv2.warpAffine(picture, turn, (512, 512)))
    )
    middle = slice(8, 56)
    assert np.corrcoef(upright[middle, 12:52].ravel(), turned[middle, 12:52].ravel())[0, 1] > 0.75
