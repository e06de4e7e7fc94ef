"""Feature files in the documented layout: 72 utterances of two speakers in twelve dialogues, one without audio."""

from pathlib import Path

import numpy as np
import pandas as pd


def features(path: Path, shift: float = 0.0) -> None:
    """Random features that say nothing of the labels; another ``shift`` changes every one of them."""
    random = np.random.default_rng(0)
    text = [(random.normal(size=8) + shift).astype(np.float32) for _ in range(72)]
    _write(path, [k % 2 for k in range(72)], text, [np.full(3, k, np.float32) for k in range(72)])


def separable(path: Path) -> None:
    """The text carries the label."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 72)
    text = [(random.normal(size=8) + 3 * label).astype(np.float32) for label in labels]
    _write(path, labels, text, [random.normal(size=3).astype(np.float32) for _ in range(72)])


def _write(path: Path, labels, text, audio) -> None:
    audio[5] = np.full(3, np.nan, np.float32)
    table = {
        "dialogue": [f"d{k // 6}" for k in range(72)],
        "utterance": [f"u{k}" for k in range(72)],
        "speaker": ["A", "B"] * 36,
        "label": labels,
        "text": text,
        "audio": audio,
        "split": ["train"] * 48 + ["valid"] * 12 + ["test"] * 12,
    }
    pd.DataFrame(table).to_parquet(path)
