"""Train, valid and test for a corpus without official splits: whole dialogues, dealt by the hash of their ids.

Or whole groups of dialogues, such as those of one speaker, dealt by the hash of the group's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from bigfusion.pipeline.schema import Split

SHARES = (0.8, 0.9)
"""A dialogue whose hash, in [0, 1), lies below the first is ``train``, below the second ``valid``, else ``test``."""


def deal(dialogues: Iterable[str]) -> dict[str, str]:
    """A split for each dialogue; the same ids always fall the same way, in whatever order they come.

    More dialogues change no other's split, but where there are so few that one split would be empty: then the largest
    hashes fill ``test`` and the next ``valid`` (two dialogues: ``train`` and ``test``; one: ``train``).
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


def groups(dialogues: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    """Each dialogue's group, row by row of a table: dialogues that share a value lie in one group.

    A group is named after its smallest value, so it does not depend on the rows' order.
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
    """In [0, 1), from the first 52 bits of the SHA-256 of ``name`` in UTF-8."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:13], 16) / 16**13
