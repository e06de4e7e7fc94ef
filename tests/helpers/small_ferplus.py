"""FER+ on disk, small enough to train on in a test."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bigfusion.extractors.visual.densenet import CLASSES
from bigfusion.extractors.visual.training import ferplus


def votes(*pairs: tuple[str, int]) -> list[int]:
    names = (*CLASSES, *ferplus.NO_EMOTION)
    return [dict(pairs).get(name, 0) for name in names]


def write_ferplus(path: Path) -> None:
    """130 faces in two mosaics: happy ones are bright above, sad ones below."""
    path.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    tiles = random.integers(0, 60, (200, 48, 48)).astype(np.uint8)
    happy = random.random(200) < 0.5
    tiles[happy, :24] += 150
    tiles[~happy, 24:] += 150
    for number in range(2):
        grid = tiles[100 * number : 100 * (number + 1)].reshape(10, 10, 48, 48).swapaxes(1, 2).reshape(480, 480)
        Image.fromarray(grid).save(path / f"{number:04d}.png")
    rows = [votes(("happiness" if happy[i] else "sadness", 9), ("neutral", 1)) for i in range(130)]
    table = pd.DataFrame(rows, columns=[*CLASSES, *ferplus.NO_EMOTION])
    table.insert(0, "split", ["train"] * 90 + ["valid"] * 20 + ["test"] * 20)
    table.insert(0, "number", range(130))
    table.to_csv(path / "index.csv", index=False)
