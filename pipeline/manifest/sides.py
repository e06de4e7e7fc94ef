"""Notes on speakers in several splits: a model may recognise a known voice or face instead of the emotion."""

from __future__ import annotations

import pandas as pd

from bigfusion.pipeline.schema import Split


def split_notes(table: pd.DataFrame) -> list[str]:
    """The notes about a manifest's splits.

    The splits of a corpus of conversations are usually published, and the same people speak in all of them (MELD's six
    friends). In a corpus of single utterances (most dialogues have one turn), a speaker in two splits is an accident.
    """
    turns = table.groupby("dialogue", sort=False).size()
    if not len(turns) or (turns == 1).mean() <= 0.5:
        return []
    speakers = {split: {*table.loc[table["split"] == split.value, "speaker"]} - {""} for split in Split}
    known = speakers[Split.TRAIN]
    shared = {split: len(speakers[split] & known) for split in (Split.VALID, Split.TEST)}
    if not any(shared.values()):
        return []
    found = " and ".join(
        f"{number} of {len(speakers[split])} {split} speakers" for split, number in shared.items() if number
    )
    return [
        f"{found} are in train as well, so scores say little about new speakers; splits by speaker (a table's "
        'corpus.split_by = "speaker", a feature file\'s split column) keep each on one side'
    ]
