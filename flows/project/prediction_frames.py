"""Predictions as a table: a row an utterance."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bigfusion.model.scoring.timeline import Timeline


def frame(timelines: Sequence[Timeline]) -> pd.DataFrame:
    """``recording, start, end, speaker, text, label, confidence, p_LABEL ..., absent``, in the recordings' order.

    Probabilities are empty where there is no speech. ``absent`` names the modalities without a vector and why.
    """
    labels = timelines[0].labels if timelines else ()
    rows = [
        {
            "recording": timeline.media.name,
            "start": moment.start,
            "end": moment.end,
            "speaker": moment.speaker,
            "text": moment.text,
            "label": moment.label,
            "confidence": moment.confidence,
            **{f"p_{label}": moment.probabilities.get(label) for label in labels},
            "absent": "; ".join(f"{name}: {reason}" for name, reason in moment.absent.items()),
        }
        for timeline in timelines
        for moment in timeline.moments
    ]
    return pd.DataFrame(rows)
