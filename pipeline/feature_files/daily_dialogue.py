"""DailyDialogue's pickle, as DialogueRNN and its kin ship it: words by number.

``daily_dialogue.pkl`` is a list of speakers, words (each utterance padded with zeros to 250), the dialogue's longest
utterance, acts, emotions, and the dialogues of train, test and valid. Beside it lie ``glv_embedding_matrix``, the GloVe
vector of each word, and ``emotion_label_decoder.pkl``, the name of each emotion's code (its order differs from file to
file). Layout and names are those of DialogueRNN's ``preprocess_dailydialog.py``.

An utterance's text is the mean of its words' vectors; one without a known word has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import Conversations, is_number, is_sequence, named, numbers_of
from bigfusion.pipeline.feature_files.pickles import of_fields
from bigfusion.pipeline.feature_files.unpickle import load

FILE, VECTORS, NAMES = "daily_dialogue", "glv_embedding_matrix", "emotion_label_decoder.pkl"
"""How the pickle's name begins, and the names of the files beside it."""


def is_daily_dialogue(content: Any) -> bool:
    """Whether an unpickled object has this layout: the third field has one number a dialogue."""
    if (
        not isinstance(content, list | tuple)
        or len(content) != 8
        or not all(isinstance(f, Mapping) for f in content[:5])
    ):
        return False
    return bool(content[2]) and all(map(is_number, content[2].values()))


def companions(path: Path) -> list[Path]:
    """The files beside a pickle that its features depend on as well."""
    return [path.with_name(VECTORS)] if path.stem.startswith(FILE) else []


def conversations(content: Sequence[Any], path: Path) -> Conversations:
    """The utterances of such a file.

    Raises:
        UnsafePickleError: a file beside it asks for more than plain data.
        CorpusError: the words' vectors are not there, or the parts do not fit together.
    """
    beside = companions(path)
    if not all(file.exists() for file in beside) or not beside:
        raise CorpusError(
            f"expected the words' vectors in {VECTORS} beside a file called {FILE}.pkl, found none; words by number "
            "alone are no features"
        )
    speakers, words, _, _, labels, train, test, valid = content
    vectors = _vectors(beside[0])
    text = {key: [_mean(entry, vectors, key) for entry in _list(entries, key)] for key, entries in words.items()}
    fields = {
        "speakers": [speakers], "labels": [labels], "text": [text], "train": [train], "test": [test], "valid": [valid],
        "sentences": [{key: [""] * len(entries) for key, entries in text.items()}],
    }  # fmt: skip
    found = of_fields("DailyDialogue", fields)
    decoder = path.with_name(NAMES)
    if not decoder.exists():
        return replace(found, notes=(f"the emotions' codes have no names: {NAMES} is not beside the file",))
    return named(found, _names(decoder))


def _vectors(path: Path) -> NDArray[np.float64]:
    vectors = load(path)
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise CorpusError(f"{path}: expected a vector for each word, found a {type(vectors).__name__}")
    return np.asarray(vectors).astype(np.float64)


def _names(path: Path) -> list[str]:
    names = load(path)
    if (
        not isinstance(names, Mapping)
        or {*names} != {*range(len(names))}
        or not all(isinstance(name, str) and name for name in names.values())
    ):
        raise CorpusError(f"{path}: expected the name of each code from 0 on, found others")
    return [names[code] for code in range(len(names))]


def _list(entries: Any, key: Any) -> Any:
    if not is_sequence(entries):
        raise CorpusError(f"dialogue {key}: expected a list of its utterances' words, found none")
    return entries


def _mean(entry: Any, vectors: NDArray[np.float64], key: Any) -> NDArray[np.float32] | None:
    """The mean of an utterance's word vectors. 0 is padding. Shape: (F,)."""
    words = numbers_of(entry if is_sequence(entry) else None, f"the words of dialogue {key}")
    if not ((words >= 0) & (words < len(vectors)) & (words == np.floor(words))).all():
        raise CorpusError(f"dialogue {key}: expected words as numbers from 0 to {len(vectors) - 1}, found others")
    real = words[words > 0].astype(np.int64)
    return vectors[real].mean(axis=0).astype(np.float32) if len(real) else None
