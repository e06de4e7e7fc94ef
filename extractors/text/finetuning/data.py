"""The training data of a text encoder: labelled utterances, as passages with the class of each utterance in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import Tensor

from bigfusion.extractors.text.passages import Passage, Span, padded, readings, together
from bigfusion.pipeline.digests.values import digest
from bigfusion.pipeline.schema import Utterance

NO_CLASS = -100


@dataclass(frozen=True)
class LabelledTexts:
    """Utterances of one split, and the index of each one's class. Utterances without words or class are left out."""

    utterances: tuple[Utterance, ...]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, utterances: Sequence[Utterance], labels: Sequence[int]) -> LabelledTexts:
        """Keep the utterances that have words and a class."""
        kept = [pair for pair in zip(utterances, labels, strict=True) if pair[0].text.strip() and pair[1] >= 0]
        return cls(tuple(utterance for utterance, _ in kept), tuple(label for _, label in kept))

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def digest(self) -> str:
        """A digest of everything that the training reads: words, context and labels."""
        read = [(one.text, one.context and (one.context.speaker, one.context.before, one.context.after))
                for one in self.utterances]  # fmt: skip
        return digest([read, self.labels])


@dataclass(frozen=True)
class LabelledCorpus:
    """The training and validation utterances; ``classes`` gives the name of class c.

    ``renamed`` holds the marks by which their dialogues are known under other names; no number depends on them.
    """

    classes: tuple[str, ...]
    train: LabelledTexts
    valid: LabelledTexts
    renamed: frozenset[str] = frozenset()


def rows_of(tokenizer: Any, split: LabelledTexts, longest: int) -> list[dict[str, Any]]:
    """Each passage's token ids, with the tokens and the class of each utterance that is read in it.

    Equal utterances ("Yeah.") get separate rows. In one row they would always be in the same batch.
    """
    rows = []
    for passage in together(readings(tokenizer, split.utterances, longest)):
        copies: dict[Span, list[int]] = {}
        for number, span in passage.spans.items():
            copies.setdefault(span, []).append(split.labels[number])
        for labels in zip_longest(*copies.values()):
            read = [(span, label) for span, label in zip(copies, labels, strict=True) if label is not None]
            rows.append(
                {
                    "input_ids": passage.tokens,
                    "spans": tuple(span for span, _ in read),
                    "labels": [label for _, label in read],
                }
            )
    return rows


class Collator:
    """Rows of :func:`rows_of` as tensors: tokens and mask (P, N), own (P, S, N), labels (P, S)."""

    def __init__(self, filler: int) -> None:
        self._filler = filler

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Pad on the right; places without an utterance have ``NO_CLASS``."""
        read: list[Passage] = []
        for row in rows:
            spans: tuple[Span, ...] = row["spans"]
            read.append(Passage(row["input_ids"], dict(enumerate(spans))))
        tokens, mask, own = map(torch.from_numpy, padded(read, self._filler))
        labels = torch.full(own.shape[:2], NO_CLASS)
        for at, row in enumerate(rows):
            labels[at, : len(row["labels"])] = torch.tensor(row["labels"])
        return {"input_ids": tokens, "attention_mask": mask, "own": own, "labels": labels}


def class_weights(train: LabelledTexts, classes: int) -> Tensor:
    """Inverse frequencies with mean 1 over the utterances. A class that does not occur has weight 0. Shape: (C,)."""
    counts = np.bincount(train.labels, minlength=classes)
    weights = np.where(counts > 0, len(train) / (np.maximum(counts, 1) * (counts > 0).sum()), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def weighted_f1(predicted: Any) -> dict[str, float]:
    """WF1 (0 to 1) of the trainer's predictions. Shapes: ``label_ids`` (P, S), ``predictions`` (P, S, C)."""
    labels: NDArray[np.int64] = np.asarray(predicted.label_ids)  # (P, S)
    classes: NDArray[np.int64] = np.asarray(predicted.predictions).argmax(-1)  # (P, S)
    real = labels != NO_CLASS
    return {"weighted_f1": float(f1_score(labels[real], classes[real], average="weighted", zero_division=0))}
