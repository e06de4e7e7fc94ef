"""The layouts of the field's pickles: which one an unpickled object has."""

from __future__ import annotations

from typing import Any

from bigfusion.pipeline.feature_files import mmsa, pickles
from bigfusion.pipeline.feature_files.conversations import Conversations


def from_pickle(content: Any) -> Conversations:
    """The utterances of an unpickled object.

    Raises:
        CorpusError: the layout is unknown, or its parts do not fit together.
    """
    if mmsa.is_mmsa(content):
        return mmsa.conversations(content)
    return pickles.conversations(content)
