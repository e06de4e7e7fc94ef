"""The pickles of MELD's baseline (bc-LSTM): labels in one file, features in others, for emotions and for sentiments.

``data_emotion.p`` is a list that begins with the utterances (text, split, y, dialog, utterance) and ends with the code
of each label. Each feature file is a list of three mappings, for train, val and test: ``DIALOG_UTTERANCE`` to a vector
(text_glove_average, text_glove_CNN, audio_embeddings_feature_selection), or ``DIALOG`` to (utterances, F) padded with
zeros (text_emotion, audio_emotion: what the uni-modal networks gave). The layouts are those that MELD's README and
``data_helpers.py`` describe.

A feature file is read with ``data_emotion.p`` (``data_sentiment.p``) beside it, and is one modality; ``data_emotion.p``
itself with text_glove_average and audio_embeddings_feature_selection, whichever lie beside it. No file has speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import Conversations, is_sequence, named, vector_of, word_of
from bigfusion.pipeline.feature_files.pickles import of_fields
from bigfusion.pipeline.feature_files.unpickle import load
from bigfusion.pipeline.schema import Modality, Split

_TASKS = ("emotion", "sentiment")
_SPLITS = {"train": Split.TRAIN, "val": Split.VALID, "test": Split.TEST}
_UTTERANCE = ("text", "split", "y", "dialog", "utterance")
_BESIDE = {Modality.TEXT: "text_glove_average", Modality.AUDIO: "audio_embeddings_feature_selection"}


def is_bc_lstm(content: Any) -> bool:
    """Whether an unpickled object is the file of labels or one of the features."""
    return _is_data(content) or _is_features(content)


def companions(path: Path) -> list[Path]:
    """The files beside a pickle that its features depend on as well, there or not."""
    task = next((task for task in _TASKS if path.stem.endswith(f"_{task}")), None)
    if task is None:
        return []
    if path.stem == f"data_{task}":
        return [path.with_name(f"{name}_{task}.pkl") for name in _BESIDE.values()]
    return [path.with_name(f"data_{task}.p")]


def conversations(content: Sequence[Any], path: Path) -> Conversations:
    """The utterances of the file of labels with the features beside it, or of a feature file with the labels beside it.

    Raises:
        UnsafePickleError: a file beside it asks for more than plain data.
        CorpusError: the file beside it is not there, or they do not fit together.
    """
    beside = companions(path)
    if _is_data(content):
        files = {m: load(file) for m, file in zip(_BESIDE, beside, strict=False) if file.exists()}
        if not files:
            names = " or ".join(f"{name}_TASK.pkl" for name in _BESIDE.values())
            raise CorpusError(f"expected features in {names} beside data_TASK.p (TASK: emotion, sentiment), found none")
        return _joined(content, files)
    modality = next((m for m in _BESIDE if path.stem.startswith(f"{m.value}_")), None)
    if modality is None or not beside:
        raise CorpusError(
            "expected a file called text_..._emotion.pkl or audio_..._emotion.pkl (or sentiment), for its name says "
            f"what it holds, found {path.name}"
        )
    if not beside[0].exists():
        raise CorpusError(f"expected the labels in {beside[0].name} beside the file, found none")
    labels = load(beside[0])
    if not _is_data(labels):
        raise CorpusError(f"{beside[0]}: expected MELD's utterances and labels, found others")
    return _joined(labels, {modality: content})


def _is_data(content: Any) -> bool:
    rows = content[0] if isinstance(content, list | tuple) and len(content) == 6 else None
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], Mapping) and {*_UTTERANCE} <= {*rows[0]}


def _is_features(content: Any) -> bool:
    return (
        isinstance(content, list | tuple)
        and len(content) == 3
        and all(isinstance(part, Mapping) for part in content)
        and any(content)
        and all(isinstance(key, str) and is_sequence(value) for part in content for key, value in part.items())
    )


def _joined(data: Sequence[Any], files: Mapping[Modality, Any]) -> Conversations:
    """Utterances and labels with the features of each modality."""
    dialogues = _dialogues(data[0])
    classes = _classes(data[-1])
    fields: dict[str, list[Any]] = {role: [{}] for role in ("ids", "speakers", "labels", "sentences", *files)}
    for split in Split:
        fields[split.value] = [[]]
    for (part, dialog), rows in dialogues.items():
        split = _SPLITS[part]
        name = f"{split.value}/dia{dialog}"
        fields[split.value][0].append(name)
        fields["ids"][0][name] = [f"{name}_utt{row['utterance']}" for row in rows]
        fields["speakers"][0][name] = [""] * len(rows)
        fields["labels"][0][name] = [_code(row["y"], classes, name) for row in rows]
        fields["sentences"][0][name] = [word_of(row["text"], "text") for row in rows]
        for modality, content in files.items():
            if not _is_features(content):
                raise CorpusError(f"expected {modality} features for train, val and test, found others")
            features = content[[*_SPLITS].index(part)]
            fields[modality][0][name] = _of_dialogue(features, dialog, rows, f"{modality} of {name}")
    return named(of_fields("bc-LSTM, MELD", fields), classes)


def _dialogues(rows: Sequence[Any]) -> dict[tuple[str, str], list[Any]]:
    """The utterances of each dialogue in the order of their numbers, split by split. Key: split and number."""
    dialogues: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        if not isinstance(row, Mapping) or not {*_UTTERANCE} <= {*row}:
            raise CorpusError(f"expected utterances with {', '.join(_UTTERANCE)}, found a {type(row).__name__}")
        split, dialog, number = (word_of(row[name], name) for name in ("split", "dialog", "utterance"))
        if split not in _SPLITS:
            raise CorpusError(f"expected utterances of {', '.join(_SPLITS)}, found split {split[:40]!r}")
        if not dialog.isdecimal() or not number.isdecimal():
            raise CorpusError(f"expected numbers as dialog and utterance, found {dialog[:40]!r}, {number[:40]!r}")
        dialogues.setdefault((split, dialog), []).append(row)
    order = sorted(dialogues, key=lambda key: [*_SPLITS].index(key[0]))
    return {key: sorted(dialogues[key], key=lambda row: int(row["utterance"])) for key in order}


def _classes(index: Any) -> list[str]:
    known = isinstance(index, Mapping) and all(isinstance(code, int) for code in index.values())
    if not known or sorted(index.values()) != [*range(len(index))]:
        raise CorpusError("expected the code of each label from 0 on, found others")
    return [word_of(name, "labels") for name, _ in sorted(index.items(), key=lambda pair: pair[1])]


def _code(name: Any, classes: list[str], dialogue: str) -> int:
    name = word_of(name, "y")
    if name not in classes:
        raise CorpusError(f"dialogue {dialogue}: expected one of {', '.join(classes)}, found {name[:40]!r}")
    return classes.index(name)


def _of_dialogue(features: Mapping[str, Any], dialog: str, rows: list[Any], what: str) -> list[Any]:
    """One vector an utterance, None for none."""
    padded = features.get(dialog)
    if padded is None:
        return [features.get(f"{dialog}_{row['utterance']}") for row in rows]
    behind = [vector_of(row, what, "feature") for row in padded[len(rows) :]]
    if len(padded) < len(rows) or any(row is None or row.any() for row in behind):
        raise CorpusError(f"{what}: expected {len(rows)} rows and then zeros, found others")
    return list(padded[: len(rows)])
