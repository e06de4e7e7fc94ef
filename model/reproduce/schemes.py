"""How a corpus is cut into what is trained on and what is scored: as it is given, or a session at a time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from bigfusion.model.data.batch import UNLABELLED, Dialogue
from bigfusion.model.data.dialogues import Data, hold_out, true_labels
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.tables.labels import IEMOCAP

_SESSION = re.compile(r"(?:^|[^A-Za-z])(Ses\d\d)")

_FOUR = {"hap": 0, "exc": 0, "sad": 1, "neu": 2, "ang": 3}
FOUR_CLASSES = ("hap", "sad", "neu", "ang")
"""IEMOCAP's four-class variant; excited counts as happy."""


@dataclass(frozen=True)
class Fold:
    """One division of the corpus."""

    name: str
    data: Data


def as_given(data: Data) -> list[Fold]:
    """The corpus's own splits, a single fold."""
    return [Fold("given", data)]


def sessions(data: Data, holdout: float) -> list[Fold]:
    """Each session scored once, by a network that trained on the others; the splits of the corpus do not count.

    The last ``holdout`` of the others' dialogues, in corpus order, chooses the epoch. Sessions without a labelled
    utterance are left out.

    Raises:
        TrainingError: a dialogue's id names no session, or fewer than two sessions have labels.
    """
    by_session: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in data:
        found = _SESSION.search(dialogue.id)
        if found is None:
            raise TrainingError(
                f"dialogue {dialogue.id}: expected an id that names its session, as IEMOCAP's Ses01F_impro01, found "
                "none; use --scheme given"
            )
        by_session[found[1]].append(dialogue)
    names = sorted(name for name, several in by_session.items() if (true_labels(several) != UNLABELLED).any())
    if len(names) < 2:
        raise TrainingError(
            f"--scheme sessions: expected at least two sessions with labels, found {', '.join(names) or 'none'}; "
            "use --scheme given"
        )
    folds = []
    for name in names:
        others = {dialogue.id for other in names if other != name for dialogue in by_session[other]}
        train, valid = hold_out([dialogue for dialogue in data if dialogue.id in others], holdout)
        folds.append(Fold(name, Data(data.labels, train, valid, by_session[name])))
    return folds


def sessions_of(dialogues: Iterable[Dialogue]) -> set[str]:
    """The sessions that the dialogues' ids name."""
    found = (_SESSION.search(dialogue.id) for dialogue in dialogues)
    return {match[1] for match in found if match}


def four_classes(data: Data) -> Data:
    """IEMOCAP's four-class variant: excited is happy, frustrated utterances stay as context without a label.

    Raises:
        TrainingError: the labels are not IEMOCAP's six.
    """
    if data.labels != IEMOCAP:
        raise TrainingError(
            f"--classes 4: expected IEMOCAP's labels {', '.join(IEMOCAP)}, found {', '.join(data.labels)}; leave it out"
        )
    codes = np.array([*(_FOUR.get(label, UNLABELLED) for label in IEMOCAP), UNLABELLED])  # -1 finds the last

    def merged(dialogues: list[Dialogue]) -> list[Dialogue]:
        return [replace(dialogue, labels=codes[dialogue.labels]) for dialogue in dialogues]

    return Data(FOUR_CLASSES, merged(data.train), merged(data.valid), merged(data.test))
