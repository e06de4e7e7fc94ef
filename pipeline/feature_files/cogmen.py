"""COGMEN's pickles: ``{"train": [Sample, ...], "dev": [...], "test": [...]}``, a sample for each dialogue.

A ``Sample`` has vid, speaker, label, text, audio, visual, sentence and sbert_sentence_embeddings, one entry an
utterance. COGMEN's network reads the sentence embeddings as the text, and so do we; samples without them (those of
mianzhang's DialogueGCN) give their text. The samples are read as plain attributes: the class is never imported. With
COGMEN's option ``--split_utterances`` a dialogue comes in parts; each is a dialogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.feature_files.conversations import Conversations, is_sequence, word_of
from bigfusion.pipeline.feature_files.pickles import of_fields
from bigfusion.pipeline.feature_files.unpickle import Record
from bigfusion.pipeline.schema import Split

_SPLITS = {Split.TRAIN: "train", Split.VALID: "dev", Split.TEST: "test"}
_ROLES = {
    "speakers": "speaker", "labels": "label", "text": "sbert_sentence_embeddings", "audio": "audio",
    "visual": "visual", "sentences": "sentence",
}  # fmt: skip


def is_cogmen(content: Any) -> bool:
    """Whether an unpickled object has this layout."""
    parts = [content.get(name) for name in _SPLITS.values()] if isinstance(content, Mapping) else []
    return any(isinstance(part, list) and part and isinstance(part[0], Record) for part in parts)


def conversations(content: Mapping[str, Any]) -> Conversations:
    """The utterances of such a file: train, dev (valid), test.

    Raises:
        CorpusError: something in the lists is no sample, or its parts do not fit together.
    """
    fields: dict[str, list[Any]] = {role: [{}] for role in _ROLES}
    for split, name in _SPLITS.items():
        samples = content.get(name, [])
        if not isinstance(samples, list) or not all(isinstance(sample, Record) for sample in samples):
            raise CorpusError(f"expected a list of samples in {name}, found others")
        fields[split.value] = [[_add(fields, sample.fields) for sample in samples]]
    for role in ("text", "audio", "visual"):
        if not all(map(is_sequence, fields[role][0].values())):
            del fields[role]
    return of_fields("COGMEN", fields)


def _add(fields: dict[str, list[Any]], sample: Mapping[str, Any]) -> str:
    """Add a sample's entries. Returns its dialogue's name."""
    name = word_of(sample.get("vid"), "vid")
    known = fields["labels"][0]
    if name in known:  # the next part of a dialogue
        name = next(part for k in range(2, len(known) + 3) if (part := f"{name}/part{k}") not in known)
    for role, attribute in _ROLES.items():
        values = sample.get(attribute)
        if role == "text" and values is None:
            values = _numbers(sample.get("text"))
        fields[role][0][name] = values
    return name


def _numbers(entries: Any) -> Any:
    """The entries if they are vectors, not transcripts."""
    return entries if is_sequence(entries) and not any(isinstance(entry, str) for entry in entries) else None
