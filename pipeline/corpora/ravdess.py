"""RAVDESS: 24 actors, two statements, eight emotions, as sound, as video and as video with sound -> a manifest.

A file's name is its whole annotation, seven numbers: ``Actor_12/03-01-06-01-02-01-12.wav`` is modality (01 video with
sound, 02 video alone, 03 sound alone), channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor.
The codes are those of the release's page on Zenodo (record 1188976) and of several copies of its text. The archives
unpack to folders ``Actor_NN``, wherever they lie; an utterance's three files become one row. The speech part has 1,440
utterances. There are no official splits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from bigfusion.pipeline.corpora.base import Progress, corpus_folder, silent
from bigfusion.pipeline.corpora.folds import DividedSettings
from bigfusion.pipeline.corpora.relabel import MappedSettings
from bigfusion.pipeline.corpora.utterance_files import Naming, single_utterances, spoken
from bigfusion.pipeline.digests.files import FileDigests
from bigfusion.pipeline.errors import CorpusError
from bigfusion.pipeline.manifest.manifest import Manifest
from bigfusion.pipeline.schema import Skipped

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
CHANNELS = {"speech": ("01",), "song": ("02",), "both": ("01", "02")}
NAMING = Naming(
    re.compile(
        r"(?:.*/)?(?P<modality>0[123])-(?P<id>(?P<channel>0[12])-(?P<label>0[1-8])-(?P<intensity>0[12])"
        r"-(?P<text>0[12])-(?P<repetition>0[12])-(?P<speaker>\d\d))"
    ),
    "03-01-06-01-02-01-12.wav: modality, channel, emotion, intensity, statement, repetition, actor",
    key=lambda match: match["id"],
    silent=lambda match: match["modality"] == "02",
)


class RavdessSettings(DividedSettings, MappedSettings):
    """``kind = "ravdess"``: the folder with the folders ``Actor_01`` to ``Actor_24``."""

    kind: Literal["ravdess"]
    root: Path
    channel: Literal["speech", "song", "both"] = Field(default="speech", description="the vocal channel")


def scan(settings: RavdessSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of a RAVDESS folder.

    Raises:
        CorpusError: there is no such folder, or no file in it has a name of the corpus and the wanted channel.
    """
    root = corpus_folder(settings.root, "RAVDESS")
    skipped: list[Skipped] = []
    every = spoken(root, NAMING, skipped)
    found = {name: one for name, one in every.items() if one.fields["channel"] in CHANNELS[settings.channel]}
    if not found:
        raise CorpusError(f"{root}: expected files of {settings.channel} (corpus.channel), found none of {len(every)}")
    described = [
        {
            "speaker": one.fields["speaker"],
            "label": EMOTIONS[one.fields["label"]],
            "statement": one.fields["text"],
            "text": STATEMENTS[one.fields["text"]],
        }
        for one in found.values()
    ]
    labels = tuple(EMOTIONS.values())
    return single_utterances(
        "ravdess", root, labels, found, described, settings, skipped, digests=digests, progress=progress
    )
