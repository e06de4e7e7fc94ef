"""How a corpus without official splits is divided: dealt into train, valid and test, or into folds.

With folds every utterance is tested once, by a model that was trained on the other folds. The column ``fold`` of the
manifest names the fold of each row, and its split is ``train``: which part a fold plays differs from training to
training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from bigfusion.pipeline.corpora.deal import deal, deal_folds, groups
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.settings import Settings

Folds = Annotated[int, Field(ge=2)] | str
"""A number of folds, or the column of which each fold leaves out one value; ``""`` means no folds."""

FOLDS = 'cross-validation: "speaker" or a column leaves one value out at a time, 5 deals five folds; "": none'
SPLIT_BY = '"speaker" or a column: dealt so that each value lies in one split, or in one of a number of folds'


class DividedSettings(Settings):
    """The settings of a corpus that has no official splits."""

    split_by: str = Field(default="", description=SPLIT_BY)
    folds: Folds = Field(default="", description=FOLDS)


def divide(
    what: str, dialogues: Sequence[str], columns: Mapping[str, Sequence[str]], split_by: str, folds: int | str
) -> dict[str, list[str]]:
    """The manifest's columns ``split`` and ``fold``, row by row.

    ``columns`` are what the corpus can be divided by; ``what`` names the corpus in errors.

    Raises:
        CorpusError: there is no such column, a row has no value in it, it has too few values, or both settings name
            one.
    """
    if isinstance(folds, str) and folds and split_by:
        raise CorpusError(
            f'{what}: expected corpus.split_by or corpus.folds = "{folds}", found both; each fold leaves out one '
            f'{folds} already: write corpus.split_by = ""'
        )
    setting, column = ("corpus.folds", folds) if isinstance(folds, str) and folds else ("corpus.split_by", split_by)
    group = {name: name for name in dialogues}
    if column:
        least = 2 if setting == "corpus.folds" else 3 if not folds else int(folds)
        group = grouped(what, dialogues, columns, str(column), setting, least)
    if isinstance(folds, str) and folds:
        return {"split": [Split.TRAIN.value] * len(dialogues), "fold": [group[name] for name in dialogues]}
    if folds:
        if len(set(group.values())) < int(folds):
            raise CorpusError(
                f"{what}: expected {folds} dialogues or more for corpus.folds = {folds}, found {len(group)}"
            )
        dealt = deal_folds(group.values(), int(folds))
        return {"split": [Split.TRAIN.value] * len(dialogues), "fold": [dealt[group[name]] for name in dialogues]}
    dealt = deal(group.values())
    return {"split": [dealt[group[name]] for name in dialogues], "fold": [""] * len(dialogues)}


def grouped(
    what: str, dialogues: Sequence[str], columns: Mapping[str, Sequence[str]], column: str, setting: str, least: int
) -> dict[str, str]:
    """The group of each dialogue by a column. Dialogues that share a value lie in one group.

    Raises:
        CorpusError: there is no such column, a row has no value in it, or there are fewer than ``least`` groups.
    """
    if column not in columns:
        raise CorpusError(f"{what}: expected {setting} to be one of {', '.join(columns)}, found {column!r}")
    if "" in columns[column]:
        row = list(columns[column]).index("")
        raise CorpusError(f"{what}: expected a {column} in every row ({setting}), found none in {dialogues[row]}")
    found = groups(dialogues, columns[column])
    number = len(set(found.values()))
    if number < least:
        raise CorpusError(
            f"{what}: expected {least} groups or more to deal by {column!r} ({setting}), found {number}"
            f" in {len(found)} dialogues: dialogues that share a value lie together; name another column, or none"
        )
    return found
