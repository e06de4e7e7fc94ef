"""EmoDB, the Berlin Database of Emotional Speech: 535 acted utterances of ten German speakers -> a manifest.

A file's name is its whole annotation: ``wav/03a01Fa.wav`` is speaker 03, text a01, emotion F, version a. The scheme,
the letters and the ten texts are those of the corpus's own page, as copies of it quote them; half of the real files
were read with this parser. There are no official splits: the usual protocol leaves one speaker out at a time.
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

LETTERS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""Of the German words: Wut, Langeweile, Ekel, Angst, Freude, Trauer."""
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
NAMING = Naming(
    re.compile(r"(?:.*/)?(?P<id>(?P<speaker>\d\d)(?P<text>[ab]\d\d)(?P<label>[WLEAFTN])[a-z]?)"),
    "03a01Fa.wav: speaker, text, emotion, version",
    key=lambda match: match["id"],
)


class EmodbSettings(DividedSettings, MappedSettings):
    """``kind = "emodb"``: the folder of EmoDB, with the files in it or in its folder ``wav``."""

    kind: Literal["emodb"]
    root: Path


def scan(settings: EmodbSettings, digests: FileDigests, progress: Progress = silent) -> Manifest:
    """The manifest of an EmoDB folder.

    Raises:
        CorpusError: there is no such folder, or no file in it has a name of the corpus.
    """
    root = corpus_folder(settings.root, "EmoDB")
    skipped: list[Skipped] = []
    found = spoken(root, NAMING, skipped)
    described = [
        {
            "speaker": one.fields["speaker"],
            "label": LETTERS[one.fields["label"]],
            "sentence": one.fields["text"],
            "text": TEXTS.get(one.fields["text"], ""),
        }
        for one in found.values()
    ]
    return single_utterances(
        "emodb", root, tuple(LETTERS.values()), found, described, settings, skipped, digests=digests, progress=progress
    )
