"""Which utterances a fine-tuned encoder learned from: a file beside its weights, so that no test is scored on them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import ExtractionError

LEARNED = "learned_from.json"
RECORD = "finetuned.json"
"""The record of a whole fine-tuning, in the folder around its encoder."""
_DIGITS = 16


def mark(utterance: str, text: str) -> str:
    """What an utterance is known by: its id and its words. Another corpus with the same ids has other marks."""
    return digest([utterance, text])[:_DIGITS]


def write_learned(folder: Path, said: Iterable[tuple[str, str]], before: Iterable[str] = ()) -> None:
    """Write down the ids and words of the utterances that the encoder in ``folder`` learned from.

    ``before`` are the marks of those that the encoder which it began with had learned from.
    """
    marks = sorted({*before, *(mark(*one) for one in said)})
    write_whole(folder / LEARNED, (json.dumps({"utterances": marks}, indent=0) + "\n").encode())


def read_learned(folder: Path) -> frozenset[str] | None:
    """The marks of the utterances that an encoder's folder was fine-tuned on, or none if it does not say.

    Raises:
        ExtractionError: the file is damaged.
    """
    path = folder / LEARNED
    try:
        return frozenset(json.loads(path.read_bytes())["utterances"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExtractionError(
            f"{path}: expected what `bigfusion finetune-text` writes beside an encoder, found {error}; copy the whole"
            " encoder folder again"
        ) from None
