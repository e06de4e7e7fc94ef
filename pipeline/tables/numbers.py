"""The labels of a table or feature file as numbers, for a regression."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.tables.classes import NONE

Task = Literal["classes", "regression"]
TASK = "regression: the labels are numbers to predict, e.g. valence; networks: bigfusion, bigru, dialogue_rnn"

Target = Literal["label", "label_T", "label_A", "label_V"]
TARGET = "whose labels: label, or CH-SIMS's of text, audio or picture alone: label_T, label_A, label_V"


def without_classes(labels: Sequence[str], label_map: Mapping[str, str]) -> None:
    """Refuse settings of classes beside ``corpus.task = "regression"``.

    Raises:
        CorpusError: there are some.
    """
    if labels or label_map:
        setting = "corpus.labels" if labels else "corpus.label_map"
        raise CorpusError(f'{setting}: expected none with corpus.task = "regression", for numbers have no classes')


def numbers(cells: Sequence[str]) -> list[float]:
    """The number in each cell; NaN if it is empty or says that there is none.

    Raises:
        CorpusError: a cell holds anything else, or no cell holds a number.
    """
    found = [_number(cell.strip()) for cell in cells]
    row = next((row for row, value in enumerate(found) if value is None), None)
    if row is not None:
        raise CorpusError(
            f'column label: expected numbers (corpus.task = "regression"), found {cells[row]!r} in row {row + 1}'
        )
    values = [math.nan if value is None else value for value in found]
    if all(map(math.isnan, values)):
        raise CorpusError('column label: expected a number (corpus.task = "regression"), found none in any row')
    return values


def _number(cell: str) -> float | None:
    """``None`` if it is no number."""
    if cell.lower() in NONE:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
