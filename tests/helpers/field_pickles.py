"""Small feature files in the true layouts of the field's repositories."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

MELD_14 = {4: 2, 1039: 1, 1153: 1}
"""Dialogues of :func:`graphsmile_meld` by MELD's number, and their turns."""


def save(path: Path, content: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def mmsa_split(ids: list[str], numbers: list[float], *, aligned: bool = False, front: bool = False) -> dict[str, Any]:
    """One split as MMSA-FET writes it. Clip ``n`` has 2 + n real frames of sound and picture, and n + 1 tokens.

    Frame t of clip n holds 10 n + t + 1 in audio, 100 n + t + 1 in vision, token t 1000 n + t + 1 in each number.
    """
    number, steps = len(ids), 6
    audio, vision = np.zeros((number, steps, 2)), np.zeros((number, steps, 3), np.float32)
    text, bert = np.zeros((number, steps, 4), np.float32), np.zeros((number, 3, steps))
    for clip in range(number):
        real = 2 + clip
        places = range(steps - real, steps) if front else range(real)
        for t, place in enumerate(places):
            audio[clip, place], vision[clip, place] = 10 * clip + t + 1, 100 * clip + t + 1
        tokens = range(steps - clip - 1, steps) if front else range(clip + 1)
        text[clip] = -1.0  # an encoder gives numbers for padded tokens too
        for t, place in enumerate(tokens):
            text[clip, place], bert[clip, :, place] = 1000 * clip + t + 1, (101, 1, 0)
    signs = [(value > 0) - (value < 0) for value in numbers]
    part = {
        "id": np.array(ids), "audio": audio, "vision": vision, "raw_text": np.array([f"I say {name}" for name in ids]),
        "text": text, "text_bert": bert,
        "audio_lengths": np.array([2 + clip for clip in range(number)]),
        "vision_lengths": np.array([2 + clip for clip in range(number)]),
        "annotations": np.array([("Neutral", "Positive", "Negative")[sign] for sign in signs]),
        "classification_labels": np.array([sign + 1.0 for sign in signs]),
        "regression_labels": np.array(numbers),
    }  # fmt: skip
    return {key: value for key, value in part.items() if not (aligned and key.endswith("_lengths"))}


def mmsa(path: Path, **over: Any) -> Path:
    """A file of MMSA: video v1 with clips 10 and 2 and v2$_$x with clip 1 in train, v3 in valid, v4 in test."""
    options = {key: over.pop(key) for key in ("aligned", "front") if key in over}
    content = {
        "train": mmsa_split(["v1$_$10", "v2$_$x$_$1", "v1$_$2"], [1.5, 0.0, -2.2], **options),
        "valid": mmsa_split(["v3$_$0001"], [0.6], **options),
        "test": mmsa_split(["v4$_$1"], [-3.0], **options),
    }
    for key, value in over.items():  # train.audio -> another value
        content["train"][key] = value
    return save(path, content)


def graphsmile_meld(path: Path) -> Path:
    """GraphSmile's MELD: fourteen fields, the sentiments behind the emotions, the text in four layers."""
    one_hot = [[1.0] + [0.0] * 8, [0.0] * 8 + [1.0]]
    speakers = {key: one_hot[:turns] for key, turns in MELD_14.items()}
    ids = {key: list(range(turns)) for key, turns in MELD_14.items()}
    labels = {key: [6, 0][:turns] for key, turns in MELD_14.items()}
    sentiments = {key: [2, 1][:turns] for key, turns in MELD_14.items()}

    def layer(value: float, width: int) -> dict[int, Any]:
        return {key: np.full((turns, width), value + key, np.float32) for key, turns in MELD_14.items()}

    sentences = {key: ["Hi."] * turns for key, turns in MELD_14.items()}
    text = [layer(value, 4) for value in (0.0, 1.0, 2.0, 5.0)]
    content = (
        ids,
        speakers,
        labels,
        sentiments,
        *text,
        layer(0.5, 3),
        layer(0.25, 2),
        sentences,
        [4, 1039],
        [1153],
        {},
    )
    return save(path, content)


def graphsmile_mosei(path: Path) -> Path:
    """GraphSmile's MOSEI: nine fields, the labels real numbers."""
    turns = {"aa": 2, "bb": 1, "cc": 1}
    labels = {"aa": [-2.3333333, 0.0], "bb": [3.0], "cc": [0.6666667]}
    vectors = [{key: [[float(n), 1.0]] * number for key, number in turns.items()} for n in range(3)]
    ids = {key: [f"{key}_{n}" for n in range(number)] for key, number in turns.items()}
    speakers = {key: ["M"] * number for key, number in turns.items()}
    sentences = {key: ["So."] * number for key, number in turns.items()}
    return save(path, (ids, speakers, labels, *vectors, sentences, ["aa", "bb"], ["cc"]))
