"""Moving pictures: a still image that pans, zooms and sways as if held by hand, with one look for each speaker.

The portraits are in the public domain and lie inside two wheels: Eileen Collins (NASA) in scikit-image's, Grace Hopper
(US Navy) in matplotlib's. Two women lend their faces to twelve speakers, some of them men. Their faces do not change
with the emotion: the demo's picture shows who speaks, not how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.demo.extra import require
from bigfusion.pipeline.errors import CorpusError

Picture = NDArray[np.uint8]

WIDTH, HEIGHT, FPS = 384, 216, 12
MARGIN = 1.35  # how much wider than the frame a still is cut, so that no movement shows its edge


@dataclass(frozen=True)
class Still:
    """An image file inside an installed package, and where to look: centre (x, y) and width of the view, in pixels."""

    package: str
    path: str
    centre: tuple[float, float]
    width: float
    person: bool = True


COLLINS = Still("skimage", "data/astronaut.png", centre=(226, 128), width=400)
HOPPER = Still("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", centre=(266, 236), width=720)
CUP = Still("skimage", "data/coffee.png", centre=(300, 200), width=420, person=False)  # a cup; Rachel Michetti, CC0


@dataclass(frozen=True)
class Look:
    """How a still shows one speaker: mirrored or not, tinted (gains of red, green, blue), nearer or farther (``zoom`` >
    1 is nearer), before a plain ``backdrop`` (RGB).
    """

    still: Still
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    backdrop: tuple[int, int, int] = (96, 96, 96)
    flip: bool = False
    zoom: float = 1.0


def film(look: Look, seconds: float, seed: int) -> Iterator[Picture]:
    """The frames of ``seconds`` of ``look`` in motion; ``seed`` picks the motion.

    Returns:
        RGB frames (216, 384, 3), 12 a second, rounded up.

    Raises:
        CorpusError: the package that holds the image is not installed, or no longer holds it.
    """
    still = _dressed(look)
    count = int(np.ceil(seconds * FPS))
    for pan_x, pan_y, turn, zoom in _motion(count, np.random.default_rng(seed)):
        view = cv2.getRotationMatrix2D((still.shape[1] / 2, still.shape[0] / 2), turn, zoom)
        view[:, 2] += (WIDTH - still.shape[1]) / 2 + pan_x, (HEIGHT - still.shape[0]) / 2 + pan_y
        yield cv2.warpAffine(still, view, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _motion(count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Pan (pixels), turn (degrees) and zoom of every frame, (count, 4): for each, two slow waves of random phase."""
    time = np.arange(count)[:, None, None] / FPS  # (count, 1, 1)
    hertz = draw.uniform([0.15, 0.4], [0.35, 0.9], (4, 2))
    waves = np.sin(2 * np.pi * (hertz * time + draw.uniform(0, 1, (4, 2)))) @ [0.75, 0.25]  # (count, 4) in [-1, 1]
    return np.asarray(waves * [16, 8, 4, 0.06] + [0, 0, 0, 1])


@lru_cache(maxsize=32)
def _dressed(look: Look) -> Picture:
    """The still with the changes that ``look`` asks for, a margin larger than the frame, RGB."""
    picture = _load(look.still.package, look.still.path)
    width, height = round(WIDTH * MARGIN), round(HEIGHT * MARGIN)
    scale = look.zoom * WIDTH / look.still.width
    x, y = look.still.centre
    cut = np.array([[scale, 0, width / 2 - scale * x], [0, scale, height / 2 - scale * y]])
    picture = cv2.warpAffine(picture, cut, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    picture = picture * np.array(look.tint)
    if look.still.person:
        shape = _silhouette(width, height, look.zoom)[..., None]
        picture = shape * picture + (1 - shape) * np.array(look.backdrop)
    picture = picture.round().clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture[:, ::-1]) if look.flip else picture


def _silhouette(width: int, height: int, zoom: float) -> NDArray[np.float64]:
    """A head and shoulders with a soft edge, (height, width) in [0, 1]: the part of a portrait that is not backdrop."""
    shape = np.zeros((height, width), np.float64)
    middle = (width // 2, height // 2)
    below = (middle[0], middle[1] + round(150 * zoom))
    for centre, half_axes in ((middle, (52, 78)), (below, (130, 100))):
        cv2.ellipse(shape, centre, tuple(round(axis * zoom) for axis in half_axes), 0, 0, 360, 1.0, cv2.FILLED)
    return np.asarray(cv2.GaussianBlur(shape, (0, 0), 8 * zoom))


@lru_cache(maxsize=8)
def _load(package: str, path: str) -> Picture:
    """An image of an installed package, RGB."""
    folder = Path(require(package).__file__).parent
    picture = cv2.imread(str(folder / path))
    if picture is None:
        raise CorpusError(f"demo corpus: expected the image {path} in the package {package}, found none; reinstall it")
    return np.ascontiguousarray(picture[..., ::-1])
