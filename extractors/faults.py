"""Which errors belong to one utterance, and which stop the whole run.

Errors of one utterance: its file cannot be read now, is gone, or has changed since ingest (:class:`ItemError`); or a
library raises an unforeseen error on this input. Such an error becomes a :class:`Fault`. All other utterances are
computed, and the next run tries this one again. Unlike a :class:`Failure`, a fault may pass or be a bug, so it is never
stored.

Errors of the run: those that the next utterance would meet as well. Examples are a model, engine or device that cannot
be used; no memory, disk space or file handles left; a GPU that failed; and a run that was stopped.
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
    """The fault of an utterance that an error becomes.

    Raises:
        ExtractionError: a GPU gave up.
        Exception: ``error`` itself, if it stops the whole run.
    """
    if isinstance(error, ItemError):
        return Fault(str(error))
    if isinstance(error, ExtractionError | MemoryError | CancelledError):
        raise error
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        raise error
    found = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['without a word'])[0]}"
    torch = sys.modules.get("torch")  # if torch is not imported, the error cannot be torch's
    if torch is not None and isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        raise ExtractionError(f"GPU: {found}; lower token_budget, seconds_budget or batch_size, or set device to cpu")
    log.debug("an error that nobody foresaw", exc_info=error)
    return Fault(f"an error that nobody foresaw: {found}; leave the utterance out, or report it")


def shielded(
    compute: Callable[[Utterance, threading.Event], Outcome],
) -> Callable[[Utterance, threading.Event], Outcome]:
    """``compute``, but an error of one utterance becomes that utterance's outcome."""

    def work(utterance: Utterance, stop: threading.Event) -> Outcome:
        try:
            return compute(utterance, stop)
        except Exception as error:
            return fault(error)

    return work


def one_by_one(work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result | Fault]:
    """Run ``work`` on all items at once.

    If that fails, run it on each item alone, so that only the bad item has an error.
    """
    try:
        return list(work(items))
    except Exception as error:
        found = fault(error)
        return [found] if len(items) == 1 else [row for item in items for row in one_by_one(work, [item])]
