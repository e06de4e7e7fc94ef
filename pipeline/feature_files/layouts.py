"""The layouts of the field's pickles: which one an unpickled object has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bigfusion.pipeline.feature_files import bc_lstm, cogmen, daily_dialogue, mmsa, pickles
from bigfusion.pipeline.feature_files.conversations import Conversations


def from_pickle(content: Any, path: Path) -> Conversations:
    """The utterances of the object in the pickle at ``path``.

    Raises:
        UnsafePickleError: a file that is read with it asks for more than plain data.
        CorpusError: the layout is unknown, or its parts do not fit together.
    """
    if mmsa.is_mmsa(content):
        return mmsa.conversations(content)
    if cogmen.is_cogmen(content):
        return cogmen.conversations(content)
    if daily_dialogue.is_daily_dialogue(content):
        return daily_dialogue.conversations(content, path)
    if bc_lstm.is_bc_lstm(content):
        return bc_lstm.conversations(content, path)
    return pickles.conversations(content)


def companions(path: Path) -> list[Path]:
    """The files beside a feature file whose content its features depend on as well, told from its name."""
    beside = [*daily_dialogue.companions(path), *bc_lstm.companions(path)]
    return [file for file in beside if file.exists()]
