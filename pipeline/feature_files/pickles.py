"""The field's feature pickles, told apart by their structure.

Each is a tuple whose fields map a dialogue to one entry an utterance, or list the dialogues of a split. Their order, as
the public code that reads them has it:

- MMGCN, MM-DFN, DialogueRNN: ids, speakers, labels, text, audio, visual, sentences, train, test (IEMOCAP);
  for MELD the same and a field of sentiments, or, without visual features, the older order of DialogueRNN.
- SDT and GraphSmile's IEMOCAP: the same with the text in four layers; GraphSmile's MELD has the sentiments behind the
  labels.
- COSMIC: speakers, labels, (sentiments,) text in four layers, sentences, train, test, valid.
- Derived files end with the list of the valid dialogues; a list that names anything else is passed over.

A layout of MELD is MELD's only if the dialogues have MELD's numbers, or the sentiments are those of MELD's emotions:
EmoryNLP's files look the same. Text in four layers (the last four of RoBERTa) becomes their mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import (
    Conversations,
    is_number,
    is_sequence,
    label_of,
    matrix_of,
    speaker_of,
    vector_of,
)
from bigfusion.pipeline.schema import FeatureName, Modality, Split
from bigfusion.pipeline.tables.classes import composed
from bigfusion.pipeline.tables.encoding import plain, repair, without_controls

_FOUR_LAYERS = "text text text text"
LAYOUTS = {
    "MMGCN": "ids speakers labels text audio visual sentences train test",
    "MMGCN, valid": "ids speakers labels text audio visual sentences train test valid",
    "DialogueRNN, valid": "ids speakers labels text audio sentences train test valid",
    "SDT, valid": f"ids speakers labels {_FOUR_LAYERS} audio visual sentences train test valid",
    "MMGCN, MELD": "ids speakers labels text audio visual sentences train test other",
    "DialogueRNN, MELD": "ids speakers labels text audio sentences train test other",
    "SDT": f"ids speakers labels {_FOUR_LAYERS} audio visual sentences train test",
    "SDT, MELD": f"ids speakers labels {_FOUR_LAYERS} audio visual sentences train test other",
    "GraphSmile, MELD": f"ids speakers labels other {_FOUR_LAYERS} audio visual sentences train test other",
    "COSMIC": f"speakers labels {_FOUR_LAYERS} sentences train test valid",
    "COSMIC, MELD": f"speakers labels other {_FOUR_LAYERS} sentences train test valid",
}
"""The fields of each layout, in order. The first that fits counts."""

KINDS = {
    "ids": {"texts", "numbers"},
    "speakers": {"texts", "numbers", "vectors"},
    "labels": {"numbers"},
    "text": {"vectors"},
    "audio": {"vectors"},
    "visual": {"vectors"},
    "sentences": {"texts"},
    "train": {"dialogues"},
    "test": {"dialogues"},
    "valid": {"dialogues"},
}
"""The kinds of values that a field may hold. ``other`` is any value."""

KNOWN = "MMGCN, DialogueRNN, SDT, GraphSmile, COSMIC, MMSA, COGMEN, DailyDialogue or bc-LSTM"
"""What a message calls the pickles that are read, those of other modules too."""

_MELD_SENTIMENTS = ((0,), (4,), (2, 3, 5, 6))
"""Codes of MELD's emotions with one sentiment each: neutral, joy, the negative ones. A surprise may have two."""

_WHOLE_FILE = ("train", "valid", "test", "other")

MELD_DEV, MELD_TEST, MELD_END = 1039, 1153, 1433
"""MELD's dialogues are numbered through in these files: dev from 1039 on, test from 1153 to 1432; 60 does not exist."""


def recognise(content: Any) -> str:
    """The layout of an unpickled object.

    Raises:
        CorpusError: it is none of :data:`LAYOUTS`; the message says what was found.
    """
    fields = [_kind(field) for field in content] if isinstance(content, tuple | list) else []
    for layout, roles in LAYOUTS.items():
        names = roles.split()
        if len(names) == len(fields) and all(
            role == "other" or kind in KINDS[role] for role, kind in zip(names, fields, strict=True)
        ):
            return layout
    found = f"{len(fields)} fields ({', '.join(fields)})" if fields else f"a {type(content).__name__}"
    raise CorpusError(f"expected features in the layout of {KNOWN}, found {found}")


def _kind(field: Any) -> str:
    """The structure of a field. A mapping is judged by its first entry that is not None."""
    if isinstance(field, Mapping):
        entries = (entry for entries in field.values() if is_sequence(entries) for entry in entries)
        entry = next((entry for entry in entries if entry is not None), None)
        if isinstance(entry, str):
            return "texts"
        if is_number(entry):
            return "numbers"
        return "vectors" if is_sequence(entry) else "an empty mapping" if entry is None else "another mapping"
    if isinstance(field, set | frozenset) or is_sequence(field):
        return "dialogues" if all(isinstance(name, str) or is_number(name) for name in field) else "a list"
    return type(field).__name__


def conversations(content: Any) -> Conversations:
    """The utterances of an unpickled object: train, valid, test; dialogues in the order of the file's lists.

    Raises:
        CorpusError: the layout is unknown, a dialogue lies in two splits, or its fields do not fit together.
    """
    layout = recognise(content)
    if layout.endswith(", valid") and not {*content[-1]} <= {*content[LAYOUTS[layout].split().index("labels")]}:
        layout = layout.replace(", valid", ", MELD")  # the last list is of something else
    fields: dict[str, list[Any]] = {}
    for role, values in zip(LAYOUTS[layout].split(), content, strict=True):
        fields.setdefault(role, []).append(values)
    if layout.endswith("MELD") and not (_meld_names(_splits(fields)) or _has_meld_sentiments(fields)):
        layout = layout.removesuffix(", MELD")
    return of_fields(layout, fields)


def of_fields(layout: str, fields: Mapping[str, list[Any]]) -> Conversations:
    """The utterances of fields by their roles, as :data:`LAYOUTS` names them; several of a text are its layers.

    Raises:
        CorpusError: a dialogue lies in two splits, or its fields do not fit together.
    """
    splits = _splits(fields)
    names = _meld_names(splits) if layout.endswith("MELD") else {}
    mend = repair if layout.endswith("MELD") else without_controls
    columns: dict[str, list[Any]] = {}
    labels: list[str] = []
    vectors: dict[FeatureName, list[Any]] = {FeatureName(name): [] for name in Modality if name in fields}
    for key, split in splits.items():
        entries = _entries(fields, key)
        for name, values in _columns(entries, *names.get(key, (str(key), split)), mend).items():
            columns.setdefault(name, []).extend(values)
        labels += [label_of(entry, key) for entry in entries["labels"][0]]
        for name in vectors:
            vectors[name] += _vectors(entries[name], key, name)
    if not labels:
        raise CorpusError("expected utterances in train, valid or test, found none")
    return Conversations(layout, columns, labels, {name: matrix_of(name, rows) for name, rows in vectors.items()})


def _splits(fields: Mapping[str, list[Any]]) -> dict[Any, Split]:
    """The split of each dialogue. A set has no order, so its dialogues get the order of the labels' mapping."""
    splits: dict[Any, Split] = {}
    for split in Split:
        listed = fields.get(split.value, [[]])[0]
        if _kind(listed) != "dialogues":
            raise CorpusError(f"expected a list of the {split} dialogues, found {_kind(listed)}")
        known = fields["labels"][0]
        strangers = [key for key in listed if key not in known]
        if strangers:
            raise CorpusError(f"dialogue {strangers[0]}: expected labels for every {split} dialogue, found none")
        ordered = [key for key in known if key in listed] if isinstance(listed, set | frozenset) else listed
        for key in ordered:
            if splits.setdefault(key, split) is not split:
                raise CorpusError(f"dialogue {key}: expected in one split, found in {splits[key]} and {split}")
    return splits


def _meld_names(splits: Mapping[Any, Split]) -> dict[Any, tuple[str, Split]]:
    """The corpus's own names and splits if all of MELD's dialogues have their usual numbers; otherwise none."""
    if set(splits) != set(range(MELD_END)) - {60}:
        return {}
    starts = ((Split.TEST, MELD_TEST), (Split.VALID, MELD_DEV), (Split.TRAIN, 0))
    found = {}
    for key in splits:
        split, start = next((split, start) for split, start in starts if key >= start)
        found[key] = (f"{split}/dia{key - start}", split)
    return found


def _has_meld_sentiments(fields: Mapping[str, list[Any]]) -> bool:
    """Whether a field says the sentiments of MELD's emotions."""
    labels = fields["labels"][0]
    for other in fields["other"]:
        if _kind(other) != "numbers":
            continue
        several = [(labels[key], other[key]) for key in labels.keys() & other.keys()]
        pairs = (pair for both in several if all(map(is_sequence, both)) for pair in zip(*both, strict=False))
        found: dict[Any, set[Any]] = {}
        for label, sentiment in pairs:
            if is_number(label) and is_number(sentiment):
                found.setdefault(label, set()).add(sentiment)
        groups = [set[Any]().union(*(found.get(code, ()) for code in codes)) for codes in _MELD_SENTIMENTS]
        if any(groups) and all(len(group) < 2 for group in groups) and len(set.union(*groups)) == sum(map(len, groups)):
            return True
    return False


def _entries(fields: Mapping[str, list[Any]], key: Any) -> dict[str, list[Any]]:
    """A dialogue's entries: role -> one list, four for the layers of a text."""
    entries = {role: [values.get(key) for values in fields[role]] for role in fields if role not in _WHOLE_FILE}
    for role, several in entries.items():
        if not all(map(is_sequence, several)):
            raise CorpusError(f"dialogue {key}: expected a list of its {role}, found none")
    lengths = {role: [len(values) for values in several] for role, several in entries.items()}
    if len({length for several in lengths.values() for length in several}) != 1:
        raise CorpusError(f"dialogue {key}: expected as many entries in every field, found {lengths}")
    return entries


def _columns(
    entries: Mapping[str, list[Any]], dialogue: str, split: Split, mend: Callable[[str], str]
) -> dict[str, list[Any]]:
    """A dialogue's columns. ``mend`` repairs what the makers of the file did to its text."""
    number = len(entries["labels"][0])
    ids = entries["ids"][0] if "ids" in entries else [None] * number
    return {
        "utterance": [_utterance_id(dialogue, turn, id_) for turn, id_ in enumerate(ids)],
        "split": [split.value] * number,
        "dialogue": [dialogue] * number,
        "turn": list(range(number)),
        "speaker": [speaker_of(entry, dialogue) for entry in entries["speakers"][0]],
        "text": [composed(plain(mend(entry))) if isinstance(entry, str) else "" for entry in entries["sentences"][0]],
    }


def _utterance_id(dialogue: str, turn: int, id_: Any) -> str:
    """The file's id if it begins with the dialogue's name; MELD's if it is a number there; else the turn's."""
    if isinstance(id_, str) and id_.startswith(dialogue) and id_ != dialogue:
        return str(id_)
    if (
        isinstance(id_, str | int | np.integer)
        and str(id_).isdigit()
        and re.fullmatch(r"(train|valid|test)/dia\d+", dialogue)
    ):
        return f"{dialogue}_utt{id_}"
    return f"{dialogue}/{turn}"


def _vectors(layers: Sequence[Any], key: Any, what: str) -> list[NDArray[np.float32] | None]:
    """A dialogue's features. If there are several layers, their mean."""
    found = [[vector_of(entry, key, what) for entry in layer] for layer in layers]
    return found[0] if len(found) == 1 else [_mean(several, key) for several in zip(*found, strict=True)]


def _mean(layers: Sequence[NDArray[np.float32] | None], key: Any) -> NDArray[np.float32] | None:
    there = [layer for layer in layers if layer is not None]
    if len({len(layer) for layer in there}) > 1:
        raise CorpusError(f"dialogue {key}: expected layers of one width, found {[len(layer) for layer in there]}")
    return np.mean(there, axis=0, dtype=np.float32) if len(there) == len(layers) else None
