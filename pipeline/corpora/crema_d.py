"""CREMA-D: 7,442 clips of 91 actors, twelve sentences, six emotions -> a manifest.

A file's name is its annotation: ``AudioWAV/1001_IEO_ANG_HI.wav`` is actor, sentence, intended emotion, level (LO, MD,
HI, XX; one file has X). The folders ``AudioWAV`` (or ``AudioMP3``) and ``VideoFlash`` (.flv) hold the same clips; the
layout and the names are those of the repository of the corpus. The label is the emotion that the actor was asked for.
There are no official splits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from bigfusion.pipeline.corpora.base import Progress, corpus_folder, silent
from bigfusion.pipeline.corpora.folds import DividedSettings
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.corpora.utterance_files import Naming, single_utterances, spoken
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
NAMING = Naming(
    re.compile(
        r"(?:.*/)?(?P<id>(?P<speaker>\d{4})_(?P<text>[A-Z]{3})_(?P<label>ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX?))"
    ),
    "1001_IEO_ANG_HI.wav: actor, sentence, emotion, level",
    key=lambda match: match["id"],
)


class CremaDSettings(DividedSettings, MappedSettings):
    """``kind = "crema_d"``: the folder with ``AudioWAV`` and, for the picture, ``VideoFlash``."""

    kind: Literal["crema_d"]
    root: Path


def scan(settings: CremaDSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a CREMA-D folder. The same clip as WAV and as MP3 is one utterance.

    Raises:
        CorpusError: there is no such folder, or no file in it has a name of the corpus.
    """
    root = corpus_folder(settings.root, "CREMA-D")
    skipped: list[Skipped] = []
    found = spoken(root, NAMING, skipped)
    described = [
        {
            "speaker": one.fields["speaker"],
            "label": EMOTIONS[one.fields["label"]],
            "sentence": one.fields["text"],
            "text": SENTENCES.get(one.fields["text"], ""),
        }
        for one in found.values()
    ]
    labels = tuple(EMOTIONS.values())
    return single_utterances(
        "crema-d", root, labels, found, described, settings, skipped, digests=digests, progress=progress
    )
