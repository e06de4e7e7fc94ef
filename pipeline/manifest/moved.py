"""A note on dialogues that a new manifest puts into another split than the one before it."""

from __future__ import annotations

import pandas as pd

from bigfusion.pipeline.manifest.manifest import Manifest

_MEDIA = ["audio_sha256", "visual_sha256"]


def moved(before: Manifest, now: Manifest) -> list[str]:
    """The note about the dialogues of ``before`` that are in another split ``now``; none: no note.

    A dialogue is known by its media whatever its name is, and by its utterances' ids if it has none.
    """
    both = _dialogues(before.table).merge(_dialogues(now.table), on=[*_MEDIA, "id"], suffixes=("_before", ""))
    others = both[both["split_before"] != both["split"]].drop_duplicates("dialogue")
    if others.empty:
        return []
    first = others.iloc[0]
    remedy = (
        "; splits go by names, and names changed: give added files names that no other has, and the former splits are"
        " back"
        if (others["dialogue_before"] != others["dialogue"]).any()
        else ""
    )
    return [
        f"{len(others)} of {both['dialogue'].nunique()} dialogues that were here before are in another split now (the"
        f" first: {first['dialogue_before']} was in {first['split_before']}, {first['dialogue']} is in"
        f" {first['split']}), so earlier runs may have trained on what is tested now; compare no scores with theirs"
        f"{remedy}"
    ]


def _dialogues(table: pd.DataFrame) -> pd.DataFrame:
    """The dialogue and split of each file and of each utterance without one. Files of several dialogues: none."""
    silent = (table[_MEDIA] == "").all(axis=1)
    rows = table[["dialogue", "split", *_MEDIA]].assign(id=table["utterance"].where(silent, "")).drop_duplicates()
    return rows.drop_duplicates([*_MEDIA, "id"], keep=False)
