"""Whether data are MELD or IEMOCAP, beside which the paper's figures may stand. Classes alone do not tell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bigfusion.model.data.dialogues import Data
from bigfusion.model.report.material import corpus_title
from bigfusion.pipeline.tables.labels import corpus_of

_IEMOCAP_DIALOGUE = re.compile(r"Ses0[1-5][FM]_(impro|script)\w+")
_MELD_TEST = (280, 2610)
"""The dialogues and utterances of MELD's test split; its dialogues have no names that are only MELD's."""


def benchmark_of(name: str, data: Data) -> str | None:
    """``iemocap`` or ``meld``, if the data have all its classes and something else says that they are this corpus.

    That is the ``name`` of the corpus or its file, the names of the dialogues (IEMOCAP), or the size of the test split
    (MELD). Ekman's six emotions and neutral are MELD's classes, and those of many other corpora.
    """
    corpus = corpus_of(data.labels)
    if corpus is None or name.lower() == corpus:
        return corpus
    if corpus == "iemocap":
        known = all(_IEMOCAP_DIALOGUE.fullmatch(dialogue.id) for dialogue in data)
    else:
        known = (len(data.test), sum(map(len, data.test))) == _MELD_TEST
    return corpus if known else None


def caveat(labels: Sequence[str], benchmark: str | None) -> str:
    """What to say if the classes are a corpus's whose figures are nevertheless left out; else empty."""
    corpus = corpus_of(labels)
    if corpus is None or benchmark is not None:
        return ""
    title = corpus_title(corpus)
    return (
        f"The classes are {title}'s, but nothing else says that these data are {title}: the paper's figures are left"
        f" out. If they are, call the file or the corpus (corpus.name) {corpus}."
    )
