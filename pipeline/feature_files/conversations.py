"""What a feature file holds, whatever its layout: utterances, labels, features; and how single entries are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import FeatureName
from bigfusion.pipeline.tables.classes import composed
from bigfusion.pipeline.tables.encoding import plain

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Conversations:
    """The content of a feature file, utterance by utterance.

    ``columns`` has the manifest's utterance, split, dialogue, turn, speaker and text. ``labels`` has each utterance's
    code or name as in the file, ``""`` for none. ``features[m]`` is (N, F_m) float32, not finite where something is
    missing. ``classes`` are the names of the labels in the order of the file's codes, if the file says so.
    ``targets`` are the numbers that a regression predicts, if they stand beside the labels; else the labels are they.
    ``notes`` say what the file lacks.
    """

    layout: str
    columns: dict[str, list[Any]]
    labels: list[str]
    features: dict[FeatureName, NDArray[np.float32]]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def named(found: Conversations, classes: Sequence[str]) -> Conversations:
    """``found`` with the names of its codes.

    Raises:
        CorpusError: a code has no name.
    """
    known = {"", *map(str, range(len(classes)))}
    strange = next((code for code in found.labels if code not in known), None)
    if strange is not None:
        raise CorpusError(f"expected label codes below {len(classes)} ({', '.join(classes)}), found {strange}")
    labels = [classes[int(code)] if code else "" for code in found.labels]
    return replace(found, labels=labels, classes=tuple(classes))


def is_sequence(value: Any) -> bool:
    """Whether it is a list, a tuple or an array with at least one dimension."""
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def is_number(value: Any) -> bool:
    """Whether it is a single number."""
    return isinstance(value, int | float | np.integer | np.floating)


def speaker_of(entry: Any, dialogue: str) -> str:
    """The speaker: a name, a number, or the position of the 1 in a one-hot vector."""
    if isinstance(entry, str) or is_number(entry):
        return composed(plain(str(entry)))
    vector = vector_of(entry, dialogue, "speaker")
    return str(int(np.argmax(vector))) if vector is not None and len(vector) else ""


def label_of(entry: Any, key: Any) -> str:
    """The code of a label, or its number if that is not whole; ``""`` for None and NaN."""
    if entry is None or (is_number(entry) and entry != entry):  # noqa: PLR0124  NaN alone; a whole number may be huge
        return ""
    if not is_number(entry) or not -MOST_CLASSES < entry < MOST_CLASSES:
        found = entry if is_number(entry) else type(entry).__name__
        raise CorpusError(f"dialogue {key}: expected labels as whole numbers from 0 on, found {found}")
    return str(int(entry)) if entry == int(entry) else repr(float(entry))


def vector_of(entry: Any, key: Any, what: str) -> NDArray[np.float32] | None:
    """A row of numbers; None stays None.

    Raises:
        CorpusError: it is no row of numbers.
    """
    if entry is None:
        return None
    try:
        if isinstance(entry, np.ndarray) and entry.dtype.kind not in "biufO":
            raise TypeError  # complex numbers and numbers as text
        if isinstance(entry, np.ndarray) and entry.ndim == 1 and entry.dtype.kind in "biuf":
            return np.asarray(entry).astype(np.float32)
        # Not np.asarray: it would turn a list of lists into a matrix, however deep and wide.
        return np.fromiter(entry, dtype=np.float32, count=len(entry))
    except (TypeError, ValueError, OverflowError):
        raise CorpusError(f"dialogue {key}: expected {what} entries that are lists of numbers") from None


def word_of(value: Any, what: str) -> str:
    """A name or a number as text. Nothing else is turned into text: a small hostile file may unfold without end.

    Raises:
        CorpusError: it is neither.
    """
    if not isinstance(value, str) and not is_number(value):
        raise CorpusError(f"expected {what} as text or a number, found a {type(value).__name__}")
    return str(value)


def numbers_of(values: Any, what: str) -> NDArray[np.float64]:
    """A list or an array of numbers, flat. Shape: (N,).

    Raises:
        CorpusError: it holds anything else.
    """
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind not in "biufO":
            raise TypeError  # as in vector_of
        if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
            return np.asarray(values).astype(np.float64).reshape(-1)
        return np.fromiter(values, dtype=np.float64, count=len(values))  # not np.asarray, as in vector_of
    except (TypeError, ValueError, OverflowError):
        raise CorpusError(f"expected {what} as a list of numbers, found others") from None


def matrix_of(name: FeatureName, rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """Rows of one width as (N, F). Absent rows are NaN."""
    widths = {len(row) for row in rows if row is not None}
    if len(widths) != 1 or widths == {0}:
        raise CorpusError(f"expected {name} features of one width, found widths {sorted(widths)[:5]}")
    nothing = np.full(widths.pop(), np.nan, dtype=np.float32)
    return np.stack([nothing if row is None else row for row in rows])
