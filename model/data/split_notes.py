"""What a reader of a score should know about the splits it comes from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.network_settings.base import NetworkSettings
from bigfusion.model.network_settings.bigfusion import BigFusionSettings
from bigfusion.pipeline.schema import Split
from bigfusion.pipeline.words import numbered

FEW = 20
"""With fewer validation utterances one of them moves a score by five points and more."""


def notes(data: Data, settings: NetworkSettings) -> tuple[str, ...]:
    """Classes that training never sees, or validation never judges, and a validation that is too small to choose by.

    A network that is fitted at once chooses nothing on validation, and may learn from it what judges the test split.
    """
    if data.regression:
        return ()
    taught, judged = (_classes(data, split) for split in (data.train, data.valid))
    known = {Split.VALID: taught, Split.TEST: [*taught, *judged] if settings.learns_from_validation else taught}
    found = [
        f"split {split.value} has {_listed(unseen)}, which no training utterance has: none of them can be predicted"
        for split, learned in known.items()
        if (unseen := [label for label in _classes(data, data[split]) if label not in learned])
    ]
    if settings.fitted_at_once:
        return tuple(found)
    if missing := [label for label in taught if label not in judged]:
        found.append(f"validation ({_size(data.valid)}) has no {_listed(missing)}: the epoch is chosen without")
    elif _labelled(data.valid) < FEW:
        found.append(f"validation is {_size(data.valid)}: little to choose an epoch by")
    return tuple(found)


def speaker_notes(data: Data, settings: NetworkSettings) -> tuple[str, ...]:
    """That dialogues have more speakers than the network tells apart, if they do."""
    counts = _speakers(data)
    key, told = told_apart(settings)
    if told is None or max(counts, default=0) <= told:
        return ()
    more = sum(count > told for count in counts)
    return (
        f"{key} = {told}: {more} of {numbered(len(counts), 'dialogue')} have more speakers, up to {max(counts)}; from "
        f"number {told} on they count as one",
    )


def most_speakers(data: Data) -> int:
    """How many speakers a dialogue has at most."""
    return max(_speakers(data), default=0)


def _speakers(data: Data) -> list[int]:
    """How many speakers each dialogue has."""
    return [len(np.unique(dialogue.speakers)) for dialogue in data]


def told_apart(settings: NetworkSettings) -> tuple[str, int | None]:
    """The setting that says how many speakers of a dialogue the network tells apart, and its value; none: all."""
    key, table = ("model.graph", settings.graph) if isinstance(settings, BigFusionSettings) else ("model", settings)
    by_number = getattr(table, "relations", "pairs") == "pairs"
    return f"{key}.speakers", getattr(table, "speakers", None) if by_number else None


def _classes(data: Data, split: Sequence[Dialogue]) -> list[str]:
    """The classes that occur."""
    codes = np.unique(true_labels(split))
    return [data.labels[code] for code in codes if code != UNLABELLED]


def _labelled(split: Sequence[Dialogue]) -> int:
    return int((true_labels(split) != UNLABELLED).sum())


def _size(split: Sequence[Dialogue]) -> str:
    return f"{numbered(_labelled(split), 'labelled utterance')} in {numbered(len(split), 'dialogue')}"


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels)
