"""The dialogues that a run was trained and validated on: a digest of each one's features, by split and id."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.runs.files import read_json, write_json
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

DIALOGUES = "dialogues.json"
"""The file in a project's run. A run on a feature file has the same in its ``run.json``."""

BY_CHANCE = 3
"""So many different utterances of one dialogue are not in another one by chance."""

Known = Mapping[str, Mapping[str, str]]


def known_dialogues(data: Data) -> dict[str, dict[str, str]]:
    """Digests of the training and validation dialogues, by split and id."""
    return {split.value: digests(data[split]) for split in (Split.TRAIN, Split.VALID)}


def digests(dialogues: Sequence[Dialogue]) -> dict[str, str]:
    """Digests of the dialogues' features, by id. The id alone would not tell whether two corpora share a dialogue."""
    return {dialogue.id: digest_of(dialogue) for dialogue in dialogues}


def digest_of(dialogue: Dialogue) -> str:
    """SHA-256 of a dialogue's features. Labels are left out: they do not change what a run has seen."""
    sha256 = hashlib.sha256()
    for name in sorted(dialogue.features):
        present = dialogue.present[name]
        values = np.where(present[:, None], dialogue.features[name], 0).astype(np.float32)
        sha256.update(f"{name} {values.shape}".encode() + values.tobytes() + present.tobytes())
    return sha256.hexdigest()


def known_utterances(dialogues: Iterable[Dialogue]) -> list[str]:
    """A digest of each utterance's features, 16 hex digits, sorted. They tell utterances that came in other dialogues.

    Left out are utterances without any feature, and features that several dialogues share, which tell nothing.
    """
    found = Counter(digest for dialogue in dialogues for digest in {*utterance_digests(dialogue)} if digest)
    return sorted(digest for digest, count in found.items() if count == 1)


def utterance_digests(dialogue: Dialogue) -> list[str]:
    """The digests of :func:`known_utterances`, by place; empty for an utterance without any feature."""
    found = []
    for place in range(len(dialogue)):
        there = [name for name in sorted(dialogue.features) if dialogue.present[name][place]]
        sha256 = hashlib.sha256()
        for name in there:
            sha256.update(name.encode() + dialogue.features[name][place].astype(np.float32).tobytes())
        found.append(sha256.hexdigest()[:16] if there else "")
    return found


def write_known(run: Path, data: Data) -> None:
    """Record the dialogues that a project's run is trained and validated on. Equal runs have equal ones."""
    if not (run / DIALOGUES).exists():
        write_json(run / DIALOGUES, known_dialogues(data))


def read_known(run: Path) -> Known | None:
    """The dialogues that a project's run was trained and validated on. ``None``: it does not say (an earlier version).

    Raises:
        TrainingError: the file is damaged.
    """
    if not (run / DIALOGUES).exists():
        return None
    found = read_json(run / DIALOGUES)
    if not isinstance(found, dict) or found.keys() != {Split.TRAIN.value, Split.VALID.value}:
        raise TrainingError(f"{run / DIALOGUES}: expected dialogues by split, found another value; train the run again")
    return found


def trained_on(known: Known, data: Data) -> int:
    """How many dialogues of the validation split a run was trained on: by their ids, or under others by their features.

    Features that the training split of ``data`` bears too tell nothing: two short messages may be equal.
    """
    train, valid = known[Split.TRAIN], known[Split.VALID]
    seen = {*train.values()} - {*digests(data.train).values()}
    return sum(
        name in train or (digest in seen and valid.get(name) != digest) for name, digest in digests(data.valid).items()
    )


def unchanged(known: Known, data: Data) -> bool:
    """Whether any dialogue that a run was trained or validated on has the same features here."""
    before = {**known[Split.TRAIN], **known[Split.VALID]}
    return any(before.get(dialogue.id) == digest_of(dialogue) for dialogue in data if dialogue.id in before)


def known_among(scored: Sequence[Dialogue], record: Mapping[str, Any]) -> int | None:
    """How many dialogues are among the training and validation dialogues that a run's record lists. ``None``: it does
    not list their features (an earlier version).

    Dialogues that were cut or joined otherwise count too: more than half of their utterances are among the known ones,
    and these are at least three different ones, or more than half of all that is scored. Two short messages may be
    equal by chance.
    """
    learnt, listed = record.get("dialogues"), record.get("utterances", [])
    if not isinstance(learnt, dict) or not all(isinstance(known, dict) for known in learnt.values()):
        return None
    said = {digest for digest in listed if isinstance(digest, str)} if isinstance(listed, list) else set()
    digests = {value for known in learnt.values() for value in known.values()}
    rows = [[digest for digest in utterance_digests(dialogue) if digest] for dialogue in scored]
    most = sum(digest in said for row in rows for digest in row) > sum(map(len, rows)) / 2

    def seen(dialogue: Dialogue, row: list[str]) -> bool:
        known = [digest for digest in row if digest in said]
        elsewhere = len(known) > len(row) / 2 and (most or len({*known}) >= BY_CHANCE)
        return elsewhere or digest_of(dialogue) in digests

    return sum(map(seen, scored, rows))
