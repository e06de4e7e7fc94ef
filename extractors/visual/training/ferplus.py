"""FER+ (Barsoum et al., 2016): grey faces of 48 x 48 and the votes of ten raters, as a folder of mosaics on disk.

``index.csv`` has one row for each face (``split`` and the votes). ``NNNN.jxl`` are the mosaics of 10 x 10 faces: row i
of the index is tile i, row by row. Lossless JPEG XL needs the package ``pillow-jxl-plugin``; mosaics may also be PNG
files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bigfusion.extractors.visual.densenet import CLASSES
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.words import reason

TILE = 48
ACROSS = 10  # tiles along each side of a mosaic
NO_EMOTION = ("unknown", "NF")
SPLITS = ("train", "valid", "test")
UNDECIDED = -1


@dataclass(frozen=True)
class Faces:
    """Faces of one split with their votes.

    Shapes: ``tiles`` (N, 48, 48) uint8; ``votes`` (N, 10) float32: the eight emotions, unknown, not a face.
    """

    tiles: NDArray[np.uint8]
    votes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tiles)

    @cached_property
    def _trusted(self) -> NDArray[np.float32]:
        """The votes without single ones, which FER+'s own code regards as mistakes."""
        return np.where(self.votes <= 1, 0, self.votes)

    @property
    def distribution(self) -> NDArray[np.float32]:
        """Each emotion's share of the votes for emotions. Shape: (N, 8); zeros for a face without such votes."""
        emotions = self._trusted[:, : len(CLASSES)]
        return np.asarray(emotions / np.maximum(emotions.sum(1, keepdims=True), 1), np.float32)

    @property
    def majority(self) -> NDArray[np.int64]:
        """The emotion with more than half of the votes, as in FER+'s paper. Shape: (N,); -1 if no emotion has that
        many.
        """
        most = self._trusted.argmax(1)
        decided = (self._trusted.max(1) > self._trusted.sum(1) / 2) & (most < len(CLASSES))
        return np.where(decided, most, UNDECIDED)

    @property
    def plurality(self) -> NDArray[np.int64]:
        """The emotion with the most votes. Shape: (N,); -1 if 'unknown' or 'not a face' has as many."""
        emotions, others = np.split(self.votes, [len(CLASSES)], axis=1)
        return np.where(emotions.max(1) > others.max(1), emotions.argmax(1), UNDECIDED)

    def only(self, kept: NDArray[np.bool_]) -> Faces:
        """The faces that ``kept`` (N,) marks."""
        return Faces(self.tiles[kept], self.votes[kept])


def read(folder: Path) -> dict[str, Faces]:
    """The faces of every split.

    Raises:
        ExtractionError: the index or a mosaic is missing or is not what it should be.
    """
    index = _index(folder / "index.csv")
    mosaics = [_mosaic(folder, number) for number in range(-(-len(index) // ACROSS**2))]
    tiles = np.concatenate(mosaics)[: len(index)]
    votes = index[[*CLASSES, *NO_EMOTION]].to_numpy(np.float32)
    return {split: Faces(tiles, votes).only((index["split"] == split).to_numpy()) for split in SPLITS}


def _index(path: Path) -> pd.DataFrame:
    try:
        index = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ExtractionError(
            f"{path}: expected FER+'s index (split and votes a face), found {reason(error)}; name its folder with"
            " --data"
        ) from None
    missing = [name for name in ("split", *CLASSES, *NO_EMOTION) if name not in index]
    if missing:
        raise ExtractionError(
            f"{path}: expected the columns split, {', '.join((*CLASSES, *NO_EMOTION))}; {missing[0]} is missing"
        )
    return index


def _mosaic(folder: Path, number: int) -> NDArray[np.uint8]:
    """The hundred tiles of a mosaic. Shape: (100, 48, 48)."""
    path = folder / f"{number:04d}.jxl"
    if path.exists():
        _read_jpeg_xl(path)
    else:
        path = path.with_suffix(".png")
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
    except FileNotFoundError:
        raise ExtractionError(
            f"{path.with_suffix('.jxl')}: expected a mosaic of faces, found no file; complete the folder"
        ) from None
    except (OSError, UnidentifiedImageError) as error:
        raise ExtractionError(f"{path}: expected a picture, found {reason(error)}; fetch the file anew") from None
    if pixels.shape != (ACROSS * TILE, ACROSS * TILE):
        raise ExtractionError(f"{path}: expected 480 x 480 pixels, found {pixels.shape}; fetch the file anew")
    grid = pixels.reshape(ACROSS, TILE, ACROSS, TILE)  # (row, y, column, x)
    return grid.swapaxes(1, 2).reshape(ACROSS**2, TILE, TILE)


def _read_jpeg_xl(path: Path) -> None:
    try:
        import_module("pillow_jxl")  # the import registers the plugin with Pillow
    except ImportError:
        raise ExtractionError(
            f"{path}: expected pillow-jxl-plugin to read JPEG XL, found none; pip install -e '.[faces]'"
        ) from None
