"""The dialogues that a run was trained and validated on: a digest of each one's features, by split and id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bigfusion.model.data.batch import Dialogue
from bigfusion.model.data.dialogues import Data
from bigfusion.model.runs.files import read_json, write_json
from bigfusion.pipeline.errors import TrainingError
from bigfusion.pipeline.schema import Split

DIALOGUES = "dialogues.json"
"""The file in a project's run. A run on a feature file has the same in its ``run.json``."""

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

    Utterances without any feature have none.
    """
    return sorted({digest for dialogue in dialogues for digest in utterance_digests(dialogue) if digest})


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
