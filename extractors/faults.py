"""Which errors are one utterance's own, and which are the whole run's.

An utterance's own: its file cannot be read now, has gone or has changed since ingest (:class:`ItemError`), and
whatever else a library raises on this input that nobody foresaw. It becomes a :class:`Fault`, all other utterances are
computed, and the next run tries it again: unlike a :class:`Failure` it may pass, or be a bug, so it is never stored.

The run's: what would befall the next utterance as well. Models, engines and devices that cannot be used, no memory, no
disk space, no file handles, a GPU that gave up, and a run that was stopped.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TypeVar

from bigfusion.extractors.base import Fault, Outcome
from bigfusion.pipeline.errors import EXHAUSTED, ExtractionError, ItemError
from bigfusion.pipeline.schema import Utterance

log = logging.getLogger("bigfusion")

Item = TypeVar("Item")
Result = TypeVar("Result")


def fault(error: Exception) -> Fault:
    """An error as its utterance's own.

    Raises:
        ExtractionError: a GPU gave up.
        Exception: ``error`` itself, where it is the run's.
    """
    if isinstance(error, ItemError):
        return Fault(str(error))
    if isinstance(error, ExtractionError | MemoryError | CancelledError):
        raise error
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        raise error
    found = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['without a word'])[0]}"
    torch = sys.modules.get("torch")  # not imported: then it is not torch's error
    if torch is not None and isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        raise ExtractionError(f"GPU: {found}; lower text.token_budget or visual.batch_size, or set device to cpu")
    log.debug("an error that nobody foresaw", exc_info=error)
    return Fault(f"an error that nobody foresaw: {found}; leave the utterance out, or report it")


def shielded(
    compute: Callable[[Utterance, threading.Event], Outcome],
) -> Callable[[Utterance, threading.Event], Outcome]:
    """``compute`` with an utterance's own error as its outcome."""

    def work(utterance: Utterance, stop: threading.Event) -> Outcome:
        try:
            return compute(utterance, stop)
        except Exception as error:
            return fault(error)

    return work


def one_by_one(work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result | Fault]:
    """``work`` on all items at once; where that fails, on each alone, so that an item's error is its own."""
    try:
        return list(work(items))
    except Exception as error:
        found = fault(error)
        return [found] if len(items) == 1 else [row for item in items for row in one_by_one(work, [item])]
