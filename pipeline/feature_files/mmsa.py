"""MMSA's feature pickles, and those that MMSA-FET writes: sentiment in videos, frame by frame.

``{"train": {...}, "valid": {...}, "test": {...}}``, and in each split, row for row: id (``VIDEO$_$CLIP``), raw_text,
annotations (Negative, Neutral, Positive), regression_labels, classification_labels, text, audio and vision (N, T, F)
padded with zeros, text_bert (N, 3, T: tokens, mask, segments), audio_lengths and vision_lengths (files that are not
aligned). CH-SIMS also has regression_labels_T, _A, _V and classification_labels_T, _A, _V: what the text, the sound and
the picture alone express. The keys are those that MMSA's ``data_loader.py`` reads and MMSA-FET's ``dataset.py`` writes.

Frames become their mean over the real ones: those of the mask for text, else the given length, else the frames that are
not all zero. A video's clips are a dialogue, in the order of their numbers. A file that ``export --layout mmsa`` wrote
also has dialogue, turn, speaker and utterance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import Conversations, is_sequence, label_of, numbers_of, word_of
from bigfusion.pipeline.feature_files.frames import by_lengths, mean_of_real_frames, not_padding
from bigfusion.pipeline.schema import FeatureName, Modality, Split
from bigfusion.pipeline.tables.classes import composed
from bigfusion.pipeline.tables.encoding import plain

KEYS = {Modality.TEXT: "text", Modality.AUDIO: "audio", Modality.VISUAL: "vision"}
"""The name of each modality's features."""
BETWEEN = "$_$"
"""What stands between video and clip in an id."""
OWN = ("utterance", "dialogue", "turn", "speaker")
"""The keys that ``export`` adds."""
_SIGNS = ("negative", "neutral", "positive")


def is_mmsa(content: Any) -> bool:
    """Whether an unpickled object has this layout."""
    parts = [content.get(split.value) for split in Split] if isinstance(content, Mapping) else []
    return any(
        isinstance(part, Mapping) and "id" in part and any(key in part for key in KEYS.values()) for part in parts
    )


def conversations(content: Mapping[str, Any]) -> Conversations:
    """The utterances of such a file: train, valid, test; dialogues in the order of their first clips.

    Raises:
        CorpusError: its parts do not fit together.
    """
    parts = {
        split: part
        for split in Split
        if isinstance(part := content.get(split.value), Mapping) and is_sequence(part.get("id")) and len(part["id"])
    }
    if not parts:
        raise CorpusError("expected clips in train, valid or test, found none")
    notes: list[str] = []
    rows = [row for split, part in parts.items() for row in _rows(split, part)]
    kinds = {split: _kind(part) for split, part in parts.items()}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{kind} in {split.value}" for split, kind in kinds.items())
        raise CorpusError(f"expected one kind of labels in every split, found {found}; give all splits the same fields")
    labels, classes = _labels([row for part in parts.values() for row in _named(part)])
    values = tuple(value for part in parts.values() for value in _numbers(part, "regression_labels"))
    features: dict[FeatureName, NDArray[np.float32]] = {}
    for modality, key in KEYS.items():
        pooled = [_pooled(split, part, modality, key, notes) for split, part in parts.items()]
        widths = {block.shape[1] for block in pooled if block is not None}
        if len(widths) > 1:
            raise CorpusError(f"expected {key} features of one width in every split, found {sorted(widths)}")
        blocks = [
            np.full((len(part["id"]), min(widths)), np.nan, np.float32) if block is None else block
            for block, part in zip(pooled, parts.values(), strict=True)
            if widths
        ]
        if blocks and any(np.isfinite(block).any() for block in blocks):
            features[FeatureName(modality)] = np.concatenate(blocks)
    if not features:
        raise CorpusError(f"expected features in {', '.join(KEYS.values())}, found none that differ from zero")
    order = _order(rows)
    columns = _columns([rows[place] for place in order])
    return Conversations(
        "MMSA",
        columns,
        [labels[place] for place in order],
        {name: block[order] for name, block in features.items()},
        classes,
        tuple(values[place] for place in order) if any(values) else (),
        tuple(notes),
    )


def labels_of(content: Mapping[str, Any], target: str, regression: bool) -> Conversations:
    """The utterances of such a file in the order of :func:`conversations`, with the labels of one modality alone, and
    without features. ``target``: ``"label_T"``, ``"label_A"`` or ``"label_V"``.

    The classes are the signs of the numbers, or else the file's codes.

    Raises:
        CorpusError: a split has no labels of that kind, or its parts do not fit together.
    """
    letter = target.removeprefix("label")
    numbers, codes = f"regression_labels{letter}", f"classification_labels{letter}"
    keys = (numbers,) if regression else (numbers, codes)
    parts = {
        split: part
        for split in Split
        if isinstance(part := content.get(split.value), Mapping) and is_sequence(part.get("id")) and len(part["id"])
    }
    key = next((key for key in keys if all(key in part for part in parts.values())), None)
    if key is None:
        split, part = next((split, part) for split, part in parts.items() if numbers not in part)
        found = ", ".join(name for name in part if isinstance(name, str) and "labels" in name)[:200] or "no labels"
        raise CorpusError(
            f'expected {" or ".join(keys)} in every split (corpus.target = "{target}"), found {found} in {split};'
            " leave corpus.target out to read the common label"
        )
    rows = [row for split, part in parts.items() for row in _rows(split, part)]
    values = [value for part in parts.values() for value in _numbers(part, key)]
    order = _order(rows)
    targets = tuple(values[place] for place in order)
    labels = list(targets) if key == codes else [_SIGNS[_sign(float(value)) + 1] if value else "" for value in targets]
    return Conversations("MMSA", _columns([rows[place] for place in order]), labels, {}, targets=targets)


def _sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


def _rows(split: Split, part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What identifies each clip of a split."""
    number = len(part["id"])
    for key, values in part.items():
        if key in ("raw_text", "annotations", *KEYS.values(), *OWN) and not (
            is_sequence(values) and len(values) == number
        ):
            found = len(values) if is_sequence(values) else type(values).__name__
            raise CorpusError(f"{split}: expected {number} {key}, as many as ids, found {found}")
    own = all(key in part for key in OWN)
    turns = numbers_of(part["turn"], "turn").tolist() if own else []
    texts = part.get("raw_text", [""] * number)
    rows = []
    for place, name in enumerate(part["id"]):
        text = composed(plain(texts[place])) if isinstance(texts[place], str) else ""
        row: dict[str, Any] = {"split": split.value, "text": text}
        if own:
            row |= {key: word_of(part[key][place], key) for key in OWN if key != "turn"} | {"turn": turns[place]}
        else:
            whole = word_of(name, "ids")
            video, between, clip = whole.rpartition(BETWEEN)
            if not (video and between and clip):
                raise CorpusError(f"{split}: expected ids like VIDEO{BETWEEN}CLIP, found {whole[:60]!r}")
            row |= {"utterance": f"{video}/{clip}", "dialogue": video, "speaker": video, "clip": clip}
        rows.append(row)
    return rows


def _order(rows: list[dict[str, Any]]) -> list[int]:
    """The places of the rows, dialogue by dialogue. A video in several splits becomes a dialogue in each."""
    splits: dict[str, set[str]] = {}
    for row in rows:
        splits.setdefault(row["dialogue"], set()).add(row["split"])
    dialogues: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if len(splits[row["dialogue"]]) > 1:
            row["dialogue"] += f"/{row['split']}"
        dialogues.setdefault(row["dialogue"], []).append(place)
    return [place for places in dialogues.values() for place in sorted(places, key=lambda place: _turn(rows[place]))]


def _turn(row: Mapping[str, Any]) -> Any:
    return (row["turn"],) if "turn" in row else (not row["clip"].isdecimal(), row["clip"].zfill(9))


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("utterance", "split", "dialogue")}
    turns: dict[str, int] = {}
    columns["turn"] = []
    for name in columns["dialogue"]:
        columns["turn"].append(turns.setdefault(name, 0))
        turns[name] += 1
    return columns | {"speaker": [row["speaker"] for row in rows], "text": [row["text"] for row in rows]}


def _kind(part: Mapping[str, Any]) -> str:
    """The field that classes come from; without names and codes, the sign of the number names the class."""
    if "annotations" in part:
        return "annotations"
    return "classification_labels" if any(_numbers(part, "classification_labels")) else "regression_labels"


def _named(part: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name and the code of each clip's class, from the field that :func:`_kind` says."""
    number = len(part["id"])
    codes = _numbers(part, "classification_labels")
    if _kind(part) == "annotations":
        names = [str(name).strip() if isinstance(name, str) else "" for name in part["annotations"]]
        if {name.lower() for name in names} <= {"", *_SIGNS} and not {*OWN} <= {*part}:
            names = [name.lower() for name in names]
        return list(zip(names, codes, strict=True))
    if _kind(part) == "classification_labels":
        return [(code, "") for code in codes]
    numbers = [float(value) if value else np.nan for value in _numbers(part, "regression_labels")]
    signs = ["" if np.isnan(value) else _SIGNS[int(value >= 0) + int(value > 0)] for value in numbers]
    return [(sign, "") for sign in signs] or [("", "")] * number


def _labels(named: list[tuple[str, str]]) -> tuple[list[str], tuple[str, ...]]:
    """The labels, and the classes in the order of their codes if each name has one code and each code one name."""
    labels = [name for name, _ in named]
    pairs = {(name, code) for name, code in named if name}
    names, codes = {name for name, _ in pairs}, {code for _, code in pairs}
    if not len(names) == len(codes) == len(pairs) or not all(code.isdecimal() for code in codes):
        return labels, ()
    return labels, tuple(name for name, _ in sorted(pairs, key=lambda pair: int(pair[1])))


def _numbers(part: Mapping[str, Any], key: str) -> list[str]:
    """One number a clip as text, ``""`` for none."""
    values = part.get(key)
    if values is None:
        return [""] * len(part["id"])
    numbers = numbers_of(values, key)
    if len(numbers) != len(part["id"]):
        raise CorpusError(f"expected {len(part['id'])} numbers in {key}, found {len(numbers)}")
    return [label_of(value, key) for value in numbers.tolist()]


def _pooled(
    split: Split, part: Mapping[str, Any], modality: Modality, key: str, notes: list[str]
) -> NDArray[np.float32] | None:
    """One row a clip, NaN for none; None if the split has no such features."""
    values = part.get(key)
    if values is None:
        return None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.ndim not in (2, 3):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
        raise CorpusError(f"{split}: expected {key} as numbers of shape (clips, frames, width), found {found}")
    frames = np.asarray(values[:, None] if values.ndim == 2 else values)  # two: one row a clip already
    mask, lengths = part.get("text_bert"), part.get(f"{key}_lengths")
    if (
        modality is Modality.TEXT
        and isinstance(mask, np.ndarray)
        and mask.dtype.kind in "biuf"
        and mask.shape == (len(frames), 3, frames.shape[1])
    ):
        return mean_of_real_frames(frames, np.asarray(mask[:, 1] != 0))
    real = not_padding(frames)
    if lengths is not None:
        known = numbers_of(lengths, f"{key}_lengths")
        if known.shape != (len(frames),) or not (known >= 0).all():
            raise CorpusError(f"{split}: expected {len(frames)} lengths in {key}_lengths, found {len(known)}")
        chosen, wrong = by_lengths(real, known.astype(np.int64))
        real = np.where(wrong[:, None], real, chosen)
        if wrong.any():
            notes.append(
                f"{split}: {key}_lengths of {wrong.sum()} clips do not fit their frames; those not all zero count"
            )
    return mean_of_real_frames(frames, real)
