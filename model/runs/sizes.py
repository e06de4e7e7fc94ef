"""The size of a run's data, split by split."""

from __future__ import annotations

from collections import Counter

from bigfusion.model.data.batch import UNLABELLED
from bigfusion.model.data.dialogues import Data, true_labels
from bigfusion.model.runs.files import Record
from bigfusion.pipeline.schema import Split


class SplitSize(Record):
    """The size of a split. ``labels`` counts the labelled utterances by label."""

    dialogues: int
    utterances: int
    labels: dict[str, int]


def split_size(data: Data, split: Split) -> SplitSize:
    """Dialogues, utterances and labels of one split."""
    labels = true_labels(data[split])
    counts = Counter(labels[labels != UNLABELLED].tolist())
    return SplitSize(
        dialogues=len(data[split]),
        utterances=len(labels),
        labels={name: counts[index] for index, name in enumerate(data.labels)},
    )
