"""Train, valid and test for a corpus without official splits: whole dialogues, assigned by the hash of their ids.

Whole groups of dialogues, such as those of one speaker, can be assigned by the hash of the group's name instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from bigfusion.pipeline.schema import Split

SHARES = (0.8, 0.9)
"""A dialogue whose hash, in [0, 1), lies below the first is ``train``, below the second ``valid``, else ``test``."""


def deal(dialogues: Iterable[str]) -> dict[str, str]:
    """A split for each dialogue. The same ids always get the same splits, whatever their order.

    Adding dialogues changes no other dialogue's split, except in a corpus so small that a split would be empty. Then
    the largest hash fills ``test`` and the next one ``valid`` (two dialogues: ``train`` and ``test``; one: ``train``).
    """
    hashes = {name: _hash(name) for name in dict.fromkeys(dialogues)}
    ordered = sorted(hashes, key=lambda name: (hashes[name], name))
    number = len(ordered)
    test = max(sum(value >= SHARES[1] for value in hashes.values()), number > 1)
    valid = max(sum(SHARES[0] <= value < SHARES[1] for value in hashes.values()), number > 2)
    train = max(number - test - valid, 1)
    valid = min(valid, number - train - (number > 1))
    splits = [Split.TRAIN] * train + [Split.VALID] * valid + [Split.TEST] * number
    return {name: split.value for name, split in zip(ordered, splits, strict=False)}


def deal_folds(groups: Iterable[str], number: int) -> dict[str, str]:
    """A fold for each group, ``"1"`` to ``str(number)``. The same groups always get the same folds.

    The groups take turns in the order of their hashes, so that the folds' sizes differ by at most one group.
    """
    ordered = sorted(dict.fromkeys(groups), key=lambda name: (_hash(name), name))
    return {name: str(place % number + 1) for place, name in enumerate(ordered)}


def groups(dialogues: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """The group of each dialogue, row by row of a table. Dialogues that share a value are in one group.

    A group is named after its smallest value, so its name does not depend on the rows' order.
    """
    parent: dict[str, str] = {value: value for value in values}

    def top(value: str) -> str:
        while parent[value] != value:
            parent[value] = value = parent[parent[value]]
        return value

    first: dict[str, str] = {}
    for dialogue, value in zip(dialogues, values, strict=True):
        one, other = sorted((top(first.setdefault(dialogue, value)), top(value)))
        parent[other] = one
    return {dialogue: top(value) for dialogue, value in first.items()}


def _hash(name: str) -> float:
    """A number in [0, 1): the first 52 bits of the SHA-256 of ``name`` in UTF-8."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:13], 16) / 16**13
