"""Which utterances a fine-tuned encoder learned from: a file beside its weights, so that no test is scored on them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pandas as pd

from bigfusion.pipeline.atomic import write_whole
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.errors import ExtractionError
from bigfusion.pipeline.words import word_count

LEARNED = "learned_from.json"
RECORD = "finetuned.json"
"""The record of a whole fine-tuning, in the folder around its encoder."""
_DIGITS = 16
_WORDS = 8
"""Dialogues with fewer words in all (characters of Chinese, Japanese) may well be equal by chance."""


def mark(utterance: str, text: str) -> str:
    """What an utterance is known by: its id and its words. Another corpus with the same ids has other marks."""
    return _mark_of([utterance, text])


def renamed_marks(rows: pd.DataFrame) -> list[frozenset[str]]:
    """What each of a manifest's rows is known by if it got another id.

    That is the same words in the same part of the same media, and all the words of its dialogue, in their order. A
    dialogue of one utterance is known by its media alone: many people read the same sentence.
    """
    found: list[set[str]] = [set() for _ in range(len(rows))]
    for side in ("audio", "visual"):
        columns = rows[[f"{side}_sha256", f"{side}_start", f"{side}_end", "text"]].itertuples(index=False)
        for marks, (sha256, start, end, text) in zip(found, columns, strict=True):
            if sha256:
                marks.add(_mark_of([side, sha256, *(None if pd.isna(at) else at for at in (start, end)), text]))
    for places in rows.groupby("dialogue", sort=False).indices.values():
        texts = rows["text"].iloc[sorted(places, key=rows["turn"].to_numpy().__getitem__)].tolist()
        if len(texts) > 1 and sum(map(word_count, texts)) >= _WORDS:
            for place in places:
                found[place].add(_mark_of(["dialogue", *texts]))
    return [frozenset(marks) for marks in found]


def _mark_of(value: Sequence[object]) -> str:
    return digest(value)[:_DIGITS]


def write_learned(
    folder: Path, said: Iterable[tuple[str, str]], renamed: Iterable[str] = (), before: Iterable[str] = ()
) -> None:
    """Write down what the encoder in ``folder`` learned from: ids and words, and the marks that outlast a renaming.

    ``before`` are the marks of what the encoder which it began with had learned from.
    """
    marks = {"utterances": sorted({*before, *_marks(said)}), "renamed": sorted(set(renamed))}
    write_whole(folder / LEARNED, (json.dumps(marks, indent=0) + "\n").encode())


def complete_learned(
    folder: Path, said: Sequence[tuple[str, str]], renamed: Collection[str], before: Collection[str]
) -> None:
    """Add to what the encoder in ``folder`` says; a list that holds all of it is not written again."""
    known = read_learned(folder) or frozenset()
    if not known.issuperset((*_marks(said), *renamed, *before)):
        write_learned(folder, said, renamed, known.union(before))


def _marks(said: Iterable[tuple[str, str]]) -> set[str]:
    return {mark(*one) for one in said}


def read_learned(folder: Path) -> frozenset[str] | None:
    """All marks of what an encoder's folder was fine-tuned on, or none if it does not say.

    Earlier versions wrote no marks that outlast a renaming.

    Raises:
        ExtractionError: the file is damaged.
    """
    path = folder / LEARNED
    try:
        found = json.loads(path.read_bytes())
        return frozenset((*found["utterances"], *found.get("renamed", ())))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExtractionError(
            f"{path}: expected what `bigfusion finetune-text` writes beside an encoder, found {error}; copy the whole"
            " encoder folder again"
        ) from None
