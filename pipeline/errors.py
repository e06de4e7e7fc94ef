"""Errors that a user can do something about. Everything else is a bug and keeps its traceback.

A message names the item, what was expected, what was found, and the remedy, on one line.
"""

from __future__ import annotations

import errno

EXHAUSTED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""System errors that do not come from the file at hand. Any other file would cause them as well."""


class BigFusionError(Exception):
    """Base of every error that the command line prints as one line (exit code 1), or as ``lines`` where it has any."""

    lines: tuple[str, ...] = ()


class SettingsError(BigFusionError):
    """A settings file, a preset or ``--set`` holds something that cannot be used."""


class HeldError(BigFusionError):
    """A folder is held by another process, for longer than one would wait."""


class FormatError(BigFusionError):
    """A newer version of bigfusion wrote this. It is not damaged, so nothing may be repaired, deleted or made anew."""


class CorpusError(BigFusionError):
    """A corpus folder or table is not laid out as expected."""


class StoreError(BigFusionError):
    """A shard or the index cannot be written or read."""


class DamagedShardError(StoreError):
    """A shard's bytes differ from their checksum; nothing of it was used."""


class ExtractionError(BigFusionError):
    """An extractor cannot start: weights, engine or device are missing."""


class ItemError(ExtractionError):
    """One utterance cannot be computed now: its file is unreadable, gone, or has changed since ingest. Others can.

    It may pass, so it is never stored.
    """


class MediaError(BigFusionError):
    """A media file cannot give what was asked of it; becomes a typed row, never a crash.

    ``status`` is the :class:`Status` value to store, ``reason`` the sentence that goes with it.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class TrainingError(BigFusionError):
    """Training or evaluation cannot start: no usable utterances, unknown labels, a checkpoint that does not fit."""


class UnsafePickleError(BigFusionError):
    """A feature pickle asks for something other than plain containers, strings, numbers and NumPy arrays."""
