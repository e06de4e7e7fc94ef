"""Small feature files in the true layouts of the field's repositories."""

from __future__ import annotations

import pickle
import sys
import types
from collections import defaultdict
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


def sims(path: Path, **over: dict[str, Any]) -> Path:
    """CH-SIMS's pickle: labels of text, audio and vision alone beside the common ones; a split's ``over`` by name."""
    content: dict[str, dict[str, Any]] = {
        "train": mmsa_split(["v1$_$10", "v2$_$x$_$1", "v1$_$2"], [0.6, 0.0, -0.8]),
        "valid": mmsa_split(["v3$_$0001"], [0.4]),
        "test": mmsa_split(["v4$_$1"], [-1.0]),
    }
    alone = {
        "T": {"train": [-0.2, 0.0, np.nan], "valid": [1.0], "test": [-0.4]},
        "A": {"train": [0.2, 0.4, 0.6], "valid": [0.8], "test": [1.0]},
        "V": {"train": [0.0, -0.6, 0.0], "valid": [0.0], "test": [0.2]},
    }
    for letter, numbers in alone.items():
        for split, values in numbers.items():
            codes = [value if np.isnan(value) else np.sign(value) + 1 for value in values]
            content[split][f"regression_labels_{letter}"] = np.array(values, np.float32)
            content[split][f"classification_labels_{letter}"] = np.array(codes)
    for split, parts in over.items():
        content[split] = {key: value for key, value in {**content[split], **parts}.items() if value is not None}
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


class _Samples:
    """Makes ``Sample`` objects of a module that exists only while the file is written."""

    def __init__(self, module: str) -> None:
        package = module.partition(".")[0]
        self.modules = {package: types.ModuleType(package), module: types.ModuleType(module)}
        self.kind = type("Sample", (), {"__module__": module})
        self.modules[module].Sample = self.kind  # type: ignore[attr-defined]

    def __enter__(self) -> type:
        sys.modules.update(self.modules)
        return self.kind

    def __exit__(self, *error: object) -> None:
        for name in self.modules:
            del sys.modules[name]


def cogmen(path: Path, module: str = "cogmen.Sample", protocol: int = 4, **over: Any) -> Path:
    """Samples of COGMEN: two dialogues in train, one in dev, one in test. ``over`` replaces attributes of the first."""

    def fill(sample: Any, vid: str, labels: list[int], value: float) -> Any:
        turns = len(labels)
        sample.vid, sample.label, sample.speaker = vid, labels, ["MF"[n % 2] for n in range(turns)]
        sample.text = [np.full(3, -value) for _ in range(turns)]
        sample.audio = [np.full(2, value + n) for n in range(turns)]
        sample.visual = [np.full(4, value - n) for n in range(turns)]
        sample.sentence = [f"It's {n}." for n in range(turns)]
        if module.startswith("cogmen"):
            sample.sbert_sentence_embeddings = np.full((turns, 5), 10 * value, np.float32)
        return sample

    with _Samples(module) as kind:
        first = fill(kind(), "Ses02F_impro01", [0, 3, 1], 1.0)
        for name, value in over.items():
            setattr(first, name, value)
        train = [first, fill(kind(), "Ses01M_script02_1", [2], 2.0)]
        content = {
            "train": train,
            "dev": [fill(kind(), "Ses02M_impro04", [1, 0], 3.0)],
            "test": [fill(kind(), "Ses05F_impro07", [3], 4.0)],
        }
        return save(path, content, protocol)


def daily_dialogue(path: Path, names: bool = True, **over: Any) -> Path:
    """``daily_dialogue.pkl`` and the files beside it: four words, the vector of word w is (w, 10 w)."""
    words = {
        "tr_c1": [np.array([1, 3] + [0] * 248, np.int32), np.array([0] * 250, np.int32)],
        "tr_c0": [np.array([4] + [0] * 249, np.int32)],
        "te_c0": [np.array([2, 2, 3, 1] + [0] * 246, np.int32)],
        "va_c0": [np.array([2] + [0] * 249, np.int32), np.array([1] + [0] * 249, np.int32)],
    }
    speakers = {key: [str(n % 2) for n in range(len(entries))] for key, entries in words.items()}
    labels = {"tr_c1": [0, 2], "tr_c0": [1], "te_c0": [2], "va_c0": [1, 0]}
    acts = {key: [0] * len(entries) for key, entries in words.items()}
    content = {
        "speakers": speakers, "words": words, "longest": dict.fromkeys(words, 4), "acts": acts, "labels": labels,
        "train": {"tr_c0", "tr_c1"}, "test": {"te_c0"}, "valid": {"va_c0"},
    } | over  # fmt: skip
    vectors = np.array([[word, 10 * word] for word in range(5)], dtype=np.float64)
    vectors.dump(path.with_name("glv_embedding_matrix"))
    if names:
        save(path.with_name("emotion_label_decoder.pkl"), {0: "happiness", 1: "no_emotion", 2: "anger"})
    return save(path, [*content.values()])


def bc_lstm(folder: Path, task: str = "emotion") -> Path:
    """MELD's baseline files. Returns the one with the labels. Dialogue 0 exists in each split."""
    utterances = [
        ("train", "0", "0", "joy", "Oh  hi ."), ("train", "0", "2", "anger", "It\x92s me ."),
        ("train", "3", "0", "neutral", "No ."), ("val", "0", "0", "joy", "Yes ."),
        ("test", "0", "1", "neutral", "So ."),
    ]  # fmt: skip
    names = ("split", "dialog", "utterance", "y", "text")
    rows = [dict(zip(names, values, strict=True)) | {"num_words": 2} for values in utterances]
    index = {"neutral": 0, "surprise": 1, "fear": 2, "sadness": 3, "joy": 4, "disgust": 5, "anger": 6}
    data = [rows, np.zeros((3, 300), np.float32), {"hi": 1, "me": 2}, defaultdict(float, hi=1.0), 50, index]
    keys = [{"0_0": 1.0, "0_2": 2.0, "3_0": 3.0}, {"0_0": 4.0}, {"0_1": 5.0}]
    save(folder / f"text_glove_average_{task}.pkl", [{k: np.full(4, v) for k, v in part.items()} for part in keys])
    audio = [{k: [v, -v] for k, v in part.items()} for part in keys]
    del audio[0]["3_0"]  # the baseline pads it
    save(folder / f"audio_embeddings_feature_selection_{task}.pkl", audio, 2)
    padded = [{"0": np.zeros((3, 2)), "3": np.zeros((3, 2))}, {"0": np.zeros((3, 2))}, {"0": np.zeros((3, 2))}]
    padded[0]["0"][:2], padded[0]["3"][0], padded[1]["0"][0], padded[2]["0"][0] = [[7, 1], [8, 1]], 9, 10, 11
    save(folder / f"audio_{task}.pkl", padded)
    save(folder / f"bimodal_{task}.pkl", padded)
    return save(folder / f"data_{task}.p", data, 2)
